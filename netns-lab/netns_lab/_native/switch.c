/* A layer-2 switch between file descriptors that delays every frame by its pair of ports.
 *
 *   port 0 --read--> pair (0,1): FIFO, delay d01 --due--> write --> port 1
 *                    pair (0,2): FIFO, delay d02 --due--> write --> port 2
 *
 * The pairs that hold frames sit in a binary heap ordered by the due time of their oldest frame, so the
 * next frame to leave is found in O(log pairs).  A frame never overtakes an older one of its pair, also
 * when the delay of the pair is lowered meanwhile.  All frames come from one pool allocated at start:
 * memory is bounded, and one pair may hold at most a quarter of it, so that a flood on one path does not
 * take the others down.
 *
 * The number of a port is in its MAC address (02:6c:61:62:HH:LL, "lab" in the middle): nothing to learn,
 * nothing to forge.  Frames to group addresses (ARP, neighbour discovery) go to all other ports, each
 * with the delay of its pair.  netns_lab/internet/switch_model.py is the same discipline in plain Python.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    ETHERNET_HEADER = 14,
    FRAME_MAX = 2000, /* MTU 1500 with VLAN tags and to spare; a frame and its header fill 2 KiB */
    READ_BATCH = 32,  /* frames taken from one port before due frames are looked at again */
    POOL_SHARE = 4,   /* one pair holds at most 1/POOL_SHARE of the pool */
    LATE_STEP_NS = 10000,
    LATE_LAST = 1000,
};

typedef struct frame {
    struct frame *next;
    int64_t due_ns;
    uint32_t len;
    uint8_t data[FRAME_MAX];
} frame;

typedef struct {
    frame *head, *tail;
    int64_t delay_ns;    /* < 0: cut; written by the control thread while the switch runs */
    int64_t last_due_ns; /* due time of the youngest frame: the next one may not be due earlier */
    uint32_t queued;
} pair;

struct sw_switch {
    int ports, stop_fd;
    uint32_t pool_frames, pool_used, pair_limit;
    frame *pool, *free_list;
    pair *pairs;      /* ports * ports, row = from */
    uint32_t *heap;   /* indices of the pairs that hold frames */
    uint32_t heap_len;
    sw_stats stats;
};

static const uint8_t MAC_PREFIX[4] = {0x02, 0x6c, 0x61, 0x62};

#define COUNT(field) __atomic_fetch_add(&(field), 1, __ATOMIC_RELAXED)

static int64_t monotonic_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- life ------------------------------------------------------------------------------------ */

/* NULL when memory or descriptors are short.  The pool is mapped, not touched: it costs what is used. */
sw_switch *sw_new(int ports, uint32_t pool_frames)
{
    if (ports < 1 || ports > 65535 || pool_frames < POOL_SHARE)
        return NULL;
    sw_switch *sw = calloc(1, sizeof *sw);
    if (!sw)
        return NULL;
    size_t pairs = (size_t)ports * (size_t)ports;
    sw->ports = ports;
    sw->pool_frames = pool_frames;
    sw->pair_limit = pool_frames / POOL_SHARE;
    sw->pairs = calloc(pairs, sizeof *sw->pairs);
    sw->heap = calloc(pairs, sizeof *sw->heap);
    sw->pool = mmap(NULL, pool_frames * sizeof(frame), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    sw->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!sw->pairs || !sw->heap || sw->pool == MAP_FAILED || sw->stop_fd < 0) {
        sw_free(sw);
        return NULL;
    }
    return sw;
}

void sw_free(sw_switch *sw)
{
    if (!sw)
        return;
    if (sw->pool && sw->pool != MAP_FAILED)
        munmap(sw->pool, sw->pool_frames * sizeof(frame));
    if (sw->stop_fd >= 0)
        close(sw->stop_fd);
    free(sw->pairs);
    free(sw->heap);
    free(sw);
}

/* Any thread, also while sw_run() runs; delay_ns < 0 cuts the pair, frames in flight are lost. */
void sw_set_delay(sw_switch *sw, int from, int to, int64_t delay_ns)
{
    if (from < 0 || to < 0 || from >= sw->ports || to >= sw->ports)
        return;
    __atomic_store_n(&sw->pairs[from * sw->ports + to].delay_ns, delay_ns, __ATOMIC_RELAXED);
}

/* --- the pool and the heap ---------------------------------------------------------------------- */

static frame *frame_new(sw_switch *sw)
{
    frame *f = sw->free_list;
    if (f)
        sw->free_list = f->next;
    else if (sw->pool_used < sw->pool_frames)
        f = &sw->pool[sw->pool_used++];
    return f;
}

static void frame_release(sw_switch *sw, frame *f)
{
    f->next = sw->free_list; /* last in, first out: stays in the cache */
    sw->free_list = f;
}

static int64_t heap_due(const sw_switch *sw, uint32_t at)
{
    return sw->pairs[sw->heap[at]].head->due_ns;
}

static void heap_swap(sw_switch *sw, uint32_t a, uint32_t b)
{
    uint32_t t = sw->heap[a];
    sw->heap[a] = sw->heap[b];
    sw->heap[b] = t;
}

static void heap_push(sw_switch *sw, uint32_t pair_index)
{
    uint32_t at = sw->heap_len++;
    sw->heap[at] = pair_index;
    while (at && heap_due(sw, at) < heap_due(sw, (at - 1) / 2)) {
        heap_swap(sw, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

/* The head of the first pair became later (or the pair was replaced): find its new place. */
static void heap_sink_first(sw_switch *sw)
{
    for (uint32_t at = 0;;) {
        uint32_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < sw->heap_len && heap_due(sw, left) < heap_due(sw, least))
            least = left;
        if (right < sw->heap_len && heap_due(sw, right) < heap_due(sw, least))
            least = right;
        if (least == at)
            return;
        heap_swap(sw, at, least);
        at = least;
    }
}

/* --- frames in, frames out ------------------------------------------------------------------------ */

static int enqueue(sw_switch *sw, uint32_t index, const uint8_t *data, size_t len, int64_t now_ns)
{
    pair *p = &sw->pairs[index];
    int64_t delay_ns = __atomic_load_n(&p->delay_ns, __ATOMIC_RELAXED);
    if (delay_ns < 0) {
        COUNT(sw->stats.dropped_cut);
        return 0;
    }
    frame *f = p->queued < sw->pair_limit ? frame_new(sw) : NULL;
    if (!f) {
        COUNT(sw->stats.dropped_full);
        return 0;
    }
    memcpy(f->data, data, len);
    f->len = (uint32_t)len;
    f->next = NULL;
    f->due_ns = now_ns + delay_ns;
    if (f->due_ns < p->last_due_ns)
        f->due_ns = p->last_due_ns;
    p->last_due_ns = f->due_ns;
    p->queued++;
    COUNT(sw->stats.queued);
    if (p->tail) {
        p->tail->next = f;
        p->tail = f;
    } else {
        p->head = p->tail = f;
        heap_push(sw, index);
    }
    return 1;
}

/* A frame arrived on a port; returns to how many ports it is on its way. */
int sw_receive(sw_switch *sw, int from, const uint8_t *data, size_t len, int64_t now_ns)
{
    uint32_t row = (uint32_t)from * (uint32_t)sw->ports;
    COUNT(sw->stats.received);
    if (len < ETHERNET_HEADER || len > FRAME_MAX) {
        COUNT(sw->stats.dropped_unknown);
        return 0;
    }
    if (data[0] & 1) { /* group address */
        int copies = 0;
        for (int to = 0; to < sw->ports; to++)
            if (to != from)
                copies += enqueue(sw, row + (uint32_t)to, data, len, now_ns);
        return copies;
    }
    int to = data[4] << 8 | data[5];
    if (memcmp(data, MAC_PREFIX, sizeof MAC_PREFIX) || to >= sw->ports || to == from) {
        COUNT(sw->stats.dropped_unknown);
        return 0;
    }
    return enqueue(sw, row + (uint32_t)to, data, len, now_ns);
}

/* When the next frame is due (ns); -1: none in flight. */
int64_t sw_next_due(const sw_switch *sw)
{
    return sw->heap_len ? heap_due(sw, 0) : -1;
}

/* The next frame due by now, unlinked, and the port it goes to; NULL: none.  Frames of cut pairs vanish. */
static frame *pop_due(sw_switch *sw, int64_t now_ns, int *to)
{
    while (sw->heap_len && heap_due(sw, 0) <= now_ns) {
        uint32_t index = sw->heap[0];
        pair *p = &sw->pairs[index];
        frame *f = p->head;
        p->head = f->next;
        p->queued--;
        __atomic_fetch_sub(&sw->stats.queued, 1, __ATOMIC_RELAXED);
        if (!p->head) {
            p->tail = NULL;
            sw->heap[0] = sw->heap[--sw->heap_len];
        }
        heap_sink_first(sw);
        if (__atomic_load_n(&p->delay_ns, __ATOMIC_RELAXED) >= 0) {
            *to = (int)(index % (uint32_t)sw->ports);
            return f;
        }
        COUNT(sw->stats.dropped_cut);
        frame_release(sw, f);
    }
    return NULL;
}

/* For tests of the discipline without descriptors: length of the frame copied to out, 0 when none is due. */
int sw_take(sw_switch *sw, int64_t now_ns, int *to, uint8_t *out)
{
    frame *f = pop_due(sw, now_ns, to);
    if (!f)
        return 0;
    int len = (int)f->len;
    memcpy(out, f->data, f->len);
    frame_release(sw, f);
    return len;
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void deliver(sw_switch *sw, const int *fds, int64_t now_ns)
{
    int to;
    frame *f;
    while ((f = pop_due(sw, now_ns, &to))) {
        if (write(fds[to], f->data, f->len) == (ssize_t)f->len) {
            int64_t late = (now_ns - f->due_ns) / LATE_STEP_NS;
            COUNT(sw->stats.late[late < LATE_LAST ? late : LATE_LAST]);
            COUNT(sw->stats.delivered);
        } else {
            COUNT(sw->stats.dropped_port);
        }
        frame_release(sw, f);
        now_ns = monotonic_ns();
    }
}

/* Returns false when the port is gone for good (its interface was deleted). */
static int drain_port(sw_switch *sw, int port, int fd)
{
    uint8_t buffer[FRAME_MAX + 1]; /* one more than allowed shows a frame that is too long */
    for (int i = 0; i < READ_BATCH; i++) {
        ssize_t len = read(fd, buffer, sizeof buffer);
        if (len > 0)
            sw_receive(sw, port, buffer, (size_t)len, monotonic_ns());
        else if (len == 0 || (errno != EAGAIN && errno != EINTR))
            return 0;
        else
            return 1;
    }
    return 1;
}

static int watch(int epoll_fd, int fd, uint32_t tag)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = tag};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static int loop(sw_switch *sw, const int *fds, int epoll_fd, int timer_fd)
{
    const uint32_t stop = (uint32_t)sw->ports, timer = stop + 1;
    int64_t armed_ns = -1;
    if (watch(epoll_fd, sw->stop_fd, stop) || watch(epoll_fd, timer_fd, timer))
        return -errno;
    for (uint32_t port = 0; port < stop; port++)
        if (fcntl(fds[port], F_SETFL, O_NONBLOCK) || watch(epoll_fd, fds[port], port))
            return -errno;
    for (;;) {
        struct epoll_event events[64];
        int64_t due_ns = sw_next_due(sw);
        int overdue = due_ns >= 0 && due_ns <= monotonic_ns();
        if (due_ns >= 0 && !overdue && due_ns != armed_ns) {
            struct itimerspec at = {.it_value = {due_ns / 1000000000, due_ns % 1000000000}};
            if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL))
                return -errno;
            armed_ns = due_ns;
        }
        int n = epoll_wait(epoll_fd, events, 64, overdue ? 0 : -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            uint32_t tag = events[i].data.u32;
            uint64_t ticks;
            if (tag == stop)
                return 0;
            if (tag == timer) {
                if (read(timer_fd, &ticks, sizeof ticks) > 0)
                    armed_ns = -1;
            } else if (!drain_port(sw, (int)tag, fds[tag])) {
                epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fds[tag], NULL);
            }
            deliver(sw, fds, monotonic_ns());
        }
        deliver(sw, fds, monotonic_ns());
    }
}

/* Carry frames between fds[0..ports-1] until sw_stop(); 0, or -errno. */
int sw_run(sw_switch *sw, const int *fds)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int result = epoll_fd < 0 || timer_fd < 0 ? -errno : loop(sw, fds, epoll_fd, timer_fd);
    if (epoll_fd >= 0)
        close(epoll_fd);
    if (timer_fd >= 0)
        close(timer_fd);
    return result;
}

void sw_stop(sw_switch *sw)
{
    uint64_t one = 1;
    if (write(sw->stop_fd, &one, sizeof one) < 0)
        return; /* the counter is full: a stop is already waiting */
}

void sw_read_stats(sw_switch *sw, sw_stats *out)
{
    const uint64_t *from = (const uint64_t *)&sw->stats;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
