/* What the switch consists of: pairs and ports, a pool of frames, FIFOs, the heap that orders them, and chance.
 *
 * All FIFOs that hold frames sit in one binary heap by the due time of their first frame, equal times in the order of
 * arrival; a frame that may be overtaken (reordering link) sits in the heap by itself.  All frames come from one pool:
 * memory is bounded.  Memory is mapped, not touched: it costs what is used.  switch.c says what it is for.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    ETHERNET_HEADER = 14,
    FRAME_MAX = 2000,  /* MTU 1500 with VLAN tags and to spare; a frame and its header fill 2 KiB */
    PORTS_MAX = 4096,
    POOL_SHARE = 4,    /* one pair holds at most 1/POOL_SHARE of the pool */
};

typedef struct frame {
    struct frame *next;
    int64_t due_ns;
    uint32_t serial, pair, generation;
    uint32_t len;
    uint8_t data[FRAME_MAX];
} frame;

typedef struct {
    frame *head, *tail;
    int64_t last_due_ns; /* no later frame may be due before */
} fifo;

typedef struct {
    int64_t pace; /* 65536ths of a ns per byte; 0: no limit */
    int64_t free_ns;
} line;

typedef struct {
    fifo frames;
    line rate;
    int64_t delay_ns, jitter_ns;
    uint32_t loss, mtu;
    uint32_t held;       /* frames of this pair in the pool */
    uint32_t offered;    /* frames so far: what chance is drawn for */
    uint32_t generation; /* how often it was cut: what is in flight from before is lost */
    uint8_t cut, reorder;
} pair;

typedef struct {
    fifo frames; /* waiting for the line down */
    line up, down;
    int64_t flood_ns;
    int silent;
    sw_port_stats stats;
} port;

typedef struct {
    int64_t due_ns;
    uint32_t serial;
    uint32_t item; /* a pair; behind all pairs, the line down of a port; behind these, a frame of the pool */
} entry;

struct sw_switch {
    uint32_t ports, pairs, pool_frames, pool_used, pair_limit, serial, heap_len;
    uint64_t seed;
    size_t memory;
    frame *pool, *free_list;
    pair *pair;   /* ports * ports, row = from */
    port *port;
    entry *heap;
    sw_stats stats;
    /* switch_loop.c */
    pthread_mutex_t lock;
    pthread_cond_t visited;
    void (*visit)(sw_switch *, void *);
    void *visit_argument;
    int running, stopping, wake_fd;
    int64_t second_ns;
    uint64_t this_second;
};

static const uint8_t MAC_PREFIX[4] = {0x02, 0x6c, 0x61, 0x62};

/* --- life ------------------------------------------------------------------------------------ */

/* NULL when memory or descriptors are short. */
sw_switch *sw_new(int ports, uint32_t pool_frames, uint64_t seed)
{
    if (ports < 1 || ports > PORTS_MAX || pool_frames < POOL_SHARE || pool_frames > 1 << 24)
        return NULL;
    size_t pairs = (size_t)ports * (size_t)ports;
    size_t port_bytes = (size_t)ports * sizeof(port), pair_bytes = pairs * sizeof(pair);
    size_t heap_bytes = (pairs + (size_t)ports + pool_frames) * sizeof(entry);
    size_t pool_bytes = pool_frames * sizeof(frame);
    size_t all = sizeof(sw_switch) + port_bytes + pair_bytes + heap_bytes + pool_bytes;
    sw_switch *sw = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (sw == MAP_FAILED)
        return NULL;
    sw->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (sw->wake_fd < 0) {
        munmap(sw, all);
        return NULL;
    }
    pthread_mutex_init(&sw->lock, NULL);
    pthread_cond_init(&sw->visited, NULL);
    sw->ports = (uint32_t)ports;
    sw->pairs = (uint32_t)pairs;
    sw->pool_frames = pool_frames;
    sw->pair_limit = pool_frames / POOL_SHARE;
    sw->seed = seed;
    sw->memory = all;
    sw->port = (port *)(sw + 1);
    sw->pair = (pair *)((char *)sw->port + port_bytes);
    sw->heap = (entry *)((char *)sw->pair + pair_bytes);
    sw->pool = (frame *)((char *)sw->heap + heap_bytes);
    return sw;
}

void sw_free(sw_switch *sw)
{
    if (!sw)
        return;
    close(sw->wake_fd);
    pthread_cond_destroy(&sw->visited);
    pthread_mutex_destroy(&sw->lock);
    munmap(sw, sw->memory);
}

/* --- chance ------------------------------------------------------------------------------------ */

/* A number for each (seed, stream, index); the finisher of splitmix64, whose every bit depends on all of them. */
static uint64_t chance(const sw_switch *sw, uint32_t pair_index, uint32_t stream, uint32_t index)
{
    uint64_t x = sw->seed + (((uint64_t)pair_index << 1 | stream) << 32 | index) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* What is added to the delay of a frame that passes at this time: a walk between random heights, one each two
 * jitters.  It falls at most half as fast as time runs, so a frame never becomes due before an earlier one. */
static int64_t wander(const sw_switch *sw, uint32_t pair_index, int64_t jitter_ns, int64_t at_ns)
{
    int64_t step_ns = 2 * jitter_ns, into_ns = at_ns % step_ns;
    uint32_t step = (uint32_t)(at_ns / step_ns);
    int64_t from = (int64_t)(chance(sw, pair_index, 1, step) & 0xffff);
    int64_t to = (int64_t)(chance(sw, pair_index, 1, step + 1) & 0xffff);
    return (jitter_ns * ((from * (step_ns - into_ns) + to * into_ns) / step_ns)) >> 16;
}

/* --- the pool ---------------------------------------------------------------------------------- */

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
    sw->pair[f->pair].held--;
    sw->stats.queued--;
    f->next = sw->free_list; /* last in, first out: stays in the cache */
    sw->free_list = f;
}

/* --- the heap ---------------------------------------------------------------------------------- */

static int before(entry a, entry b)
{
    return a.due_ns < b.due_ns || (a.due_ns == b.due_ns && (int32_t)(a.serial - b.serial) < 0);
}

static void heap_push(sw_switch *sw, uint32_t item, const frame *f)
{
    entry new = {f->due_ns, f->serial, item};
    uint32_t at = sw->heap_len++;
    while (at && before(new, sw->heap[(at - 1) / 2])) {
        sw->heap[at] = sw->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sw->heap[at] = new;
}

/* Put an entry in the place of the first one, which is gone, and let it sink. */
static void heap_replace_first(sw_switch *sw, entry with)
{
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < sw->heap_len) {
        if (child + 1 < sw->heap_len && before(sw->heap[child + 1], sw->heap[child]))
            child++;
        if (!before(sw->heap[child], with))
            break;
        sw->heap[at] = sw->heap[child];
        at = child;
    }
    sw->heap[at] = with;
}

static void heap_pop(sw_switch *sw)
{
    entry last = sw->heap[--sw->heap_len];
    if (sw->heap_len)
        heap_replace_first(sw, last);
}

/* When the next frame is due (ns); -1: none in flight. */
int64_t sw_next_due(const sw_switch *sw)
{
    return sw->heap_len ? sw->heap[0].due_ns : -1;
}

static void fifo_append(sw_switch *sw, fifo *q, uint32_t item, frame *f)
{
    if (f->due_ns < q->last_due_ns)
        f->due_ns = q->last_due_ns;
    q->last_due_ns = f->due_ns;
    f->next = NULL;
    if (q->head) {
        q->tail = q->tail->next = f;
    } else {
        q->head = q->tail = f;
        heap_push(sw, item, f);
    }
}

/* Take the first frame out of the FIFO that is first in the heap. */
static frame *fifo_take_first(sw_switch *sw, fifo *q)
{
    frame *f = q->head;
    q->head = f->next;
    if (q->head)
        heap_replace_first(sw, (entry){q->head->due_ns, q->head->serial, sw->heap[0].item});
    else
        heap_pop(sw);
    return f;
}

/* The first frame of the heap, out of wherever it waits, and whether it has passed the line down. */
static frame *take_first(sw_switch *sw, int *at_port)
{
    uint32_t item = sw->heap[0].item;
    *at_port = 0;
    if (item < sw->pairs)
        return fifo_take_first(sw, &sw->pair[item].frames);
    item -= sw->pairs;
    if ((*at_port = item < sw->ports))
        return fifo_take_first(sw, &sw->port[item].frames);
    heap_pop(sw);
    return &sw->pool[item - sw->ports];
}
