/* A layer-2 switch between file descriptors that treats every frame as the link of its pair of ports says.
 *
 *   port a --read--> [line up] --> pair (a,b): cut? MTU, loss, [rate], delay --> [line down] --write--> port b
 *
 * A line with a rate (brackets) is the time at which it is free again: what a frame waits is known when it
 * arrives, and what would wait longer than LINE_QUEUE_NS is dropped.  Behind that, a pair is a FIFO whose frames
 * know when they are due; the line down is a FIFO too, because frames of several pairs meet there in an order that
 * shows only when they are due.  All FIFOs that hold frames sit in one binary heap by the due time of their
 * first frame; a frame that may be overtaken (reordering link) sits in the heap by itself.
 *
 * All frames come from one pool: memory is bounded, and one pair may hold at most a quarter of it, so that a flood
 * on one path does not take the others down.  Chance is a function of seed, pair and number of the frame.
 *
 * The number of a port is in its MAC address (02:6c:61:62:HH:LL, "lab" in the middle): nothing to learn, nothing to
 * forge.  Of group addresses only ARP and neighbour discovery are carried, as far as FLOOD_NS allows: to all others.
 *
 * netns_lab/internet/switch_model.py is the same discipline in plain Python and explains it.  Not thread-safe:
 * switch_loop.c, which is compiled together with this file, lets other threads in.
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
    LINE_QUEUE_NS = 100000000,
    FLOOD_NS = 3906250, /* between two group-addressed frames of a port, on average: 256 per second */
    FLOOD_BURST_NS = 1000000000,
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

/* NULL when memory or descriptors are short.  Memory is mapped, not touched: it costs what is used. */
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

/* --- frames in --------------------------------------------------------------------------------- */

/* When a frame that reaches a line at that time has passed it; -1: too many wait already. */
static int64_t pass(line *l, size_t len, int64_t at_ns)
{
    if (!l->pace)
        return at_ns;
    int64_t start_ns = l->free_ns > at_ns ? l->free_ns : at_ns;
    if (start_ns - at_ns > LINE_QUEUE_NS)
        return -1;
    return l->free_ns = start_ns + ((int64_t)len * l->pace >> 16);
}

static int is_ip(const uint8_t *data)
{
    return (data[12] == 0x08 && data[13] == 0x00) || (data[12] == 0x86 && data[13] == 0xdd);
}

static frame *frame_new(sw_switch *sw)
{
    frame *f = sw->free_list;
    if (f)
        sw->free_list = f->next;
    else if (sw->pool_used < sw->pool_frames)
        f = &sw->pool[sw->pool_used++];
    return f;
}

static int drop(sw_switch *sw, uint32_t from, enum sw_reason reason)
{
    sw->port[from].stats.dropped[reason]++;
    return 0;
}

/* Send a frame, which has passed the line up of its port, on its way to another; returns 1, or 0: dropped. */
static int send_to(sw_switch *sw, uint32_t from, uint32_t to, const uint8_t *data, size_t len, int64_t at_ns)
{
    uint32_t index = from * sw->ports + to;
    pair *p = &sw->pair[index];
    if (p->cut)
        return drop(sw, from, SW_CUT);
    if (p->mtu && len > p->mtu + ETHERNET_HEADER && is_ip(data))
        return drop(sw, from, SW_MTU);
    uint64_t luck = p->loss || p->reorder ? chance(sw, index, 0, p->offered++) : 0;
    if (luck >> 33 < p->loss)
        return drop(sw, from, SW_LOSS);
    if ((at_ns = pass(&p->rate, len, at_ns)) < 0)
        return drop(sw, from, SW_RATE);
    frame *f = p->held < sw->pair_limit ? frame_new(sw) : NULL;
    if (!f)
        return drop(sw, from, SW_FULL);
    f->serial = sw->serial++;
    f->pair = index;
    f->generation = p->generation;
    f->len = (uint32_t)len;
    memcpy(f->data, data, len);
    p->held++;
    sw->stats.queued++;
    if (p->reorder) {
        f->due_ns = at_ns + p->delay_ns + (p->jitter_ns * (int64_t)(luck & 0xffff) >> 16);
        if (p->frames.last_due_ns < f->due_ns)
            p->frames.last_due_ns = f->due_ns;
        heap_push(sw, sw->pairs + sw->ports + (uint32_t)(f - sw->pool), f);
    } else {
        f->due_ns = at_ns + p->delay_ns + (p->jitter_ns ? wander(sw, index, p->jitter_ns, at_ns) : 0);
        fifo_append(sw, &p->frames, index, f);
    }
    return 1;
}

/* ARP, or IPv6 neighbour discovery: all that sites need to say to everybody. */
static int is_neighbour_search(const uint8_t *data, size_t len)
{
    if (data[12] == 0x08 && data[13] == 0x06)
        return 1;
    return data[12] == 0x86 && data[13] == 0xdd && len > 54 && data[20] == 58 && (data[54] == 135 || data[54] == 136);
}

/* A frame arrived on a port; returns to how many ports it is on its way. */
int sw_receive(sw_switch *sw, int from_port, const uint8_t *data, size_t len, int64_t now_ns)
{
    uint32_t from = (uint32_t)from_port, first = 0, last = sw->ports - 1;
    port *p = &sw->port[from];
    p->stats.received++;
    if (len < ETHERNET_HEADER || len > FRAME_MAX)
        return drop(sw, from, SW_MALFORMED);
    if (memcmp(data + 6, MAC_PREFIX, sizeof MAC_PREFIX) || (uint32_t)(data[10] << 8 | data[11]) != from)
        return drop(sw, from, SW_SOURCE);
    if (p->silent)
        return drop(sw, from, SW_SILENT);
    if (data[0] & 1) {
        if (!is_neighbour_search(data, len))
            return drop(sw, from, SW_GROUP);
        if (p->flood_ns > now_ns + FLOOD_BURST_NS)
            return drop(sw, from, SW_FLOOD);
        p->flood_ns = (p->flood_ns > now_ns ? p->flood_ns : now_ns) + FLOOD_NS;
    } else {
        first = last = (uint32_t)(data[4] << 8 | data[5]);
        if (memcmp(data, MAC_PREFIX, sizeof MAC_PREFIX) || first >= sw->ports || first == from)
            return drop(sw, from, SW_UNKNOWN);
    }
    int64_t at_ns = pass(&p->up, len, now_ns);
    if (at_ns < 0)
        return drop(sw, from, SW_RATE);
    int copies = 0;
    for (uint32_t to = first; to <= last; to++)
        if (to != from)
            copies += send_to(sw, from, to, data, len, at_ns);
    return copies;
}

/* --- frames out -------------------------------------------------------------------------------- */

static void frame_release(sw_switch *sw, frame *f)
{
    sw->pair[f->pair].held--;
    sw->stats.queued--;
    f->next = sw->free_list; /* last in, first out: stays in the cache */
    sw->free_list = f;
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

/* The next frame due by now, which the caller must release, and the port it goes to; NULL: none. */
static frame *pop_due(sw_switch *sw, int64_t now_ns, uint32_t *to_port)
{
    while (sw->heap_len && sw->heap[0].due_ns <= now_ns) {
        int at_port;
        frame *f = take_first(sw, &at_port);
        uint32_t from = f->pair / sw->ports, to = f->pair % sw->ports;
        port *p = &sw->port[to];
        if (f->generation != sw->pair[f->pair].generation) {
            drop(sw, from, SW_CUT);
        } else if (p->silent || sw->port[from].silent) {
            drop(sw, from, SW_SILENT);
        } else if (at_port || (!p->down.pace && !p->frames.head)) {
            *to_port = to;
            return f;
        } else if ((f->due_ns = pass(&p->down, f->len, f->due_ns)) < 0) {
            drop(sw, from, SW_RATE);
        } else {
            f->serial = sw->serial++;
            fifo_append(sw, &p->frames, sw->pairs + to, f);
            continue;
        }
        frame_release(sw, f);
    }
    return NULL;
}

/* Length of the frame copied to out, 0 when none is due. */
int sw_take(sw_switch *sw, int64_t now_ns, int *to, int64_t *due_ns, uint8_t *out)
{
    uint32_t port_index;
    frame *f = pop_due(sw, now_ns, &port_index);
    if (!f)
        return 0;
    int len = (int)f->len;
    *to = (int)port_index;
    *due_ns = f->due_ns;
    memcpy(out, f->data, f->len);
    frame_release(sw, f);
    return len;
}

/* --- changes ----------------------------------------------------------------------------------- */

static int valid(const sw_switch *sw, const sw_change *c)
{
    const int64_t hour_ns = 3600000000000, slowest = (int64_t)1 << 44; /* 2 kB at that pace take 150 h, in 60 bits */
    int ports = (int)sw->ports, one = c->from >= 0 && c->from < ports;
    int two = one && c->to >= 0 && c->to < ports && c->to != c->from;
    int paces = c->pace >= 0 && c->pace < slowest && c->down >= 0 && c->down < slowest;
    switch (c->kind) {
    case SW_SET_LINK:
        return two && paces && c->delay_ns >= 0 && c->delay_ns <= hour_ns && c->jitter_ns >= 0 &&
               c->jitter_ns < 1000000000000 && c->loss >= 0 && c->loss <= (int64_t)1 << 31 && c->mtu > 0 && c->mtu <= 65535;
    case SW_SET_CUT:
        return two;
    case SW_SET_SILENT:
        return one;
    case SW_SET_LINE:
        return one && paces;
    default:
        return 0;
    }
}

static void change(sw_switch *sw, const sw_change *c)
{
    pair *p = &sw->pair[(uint32_t)c->from * sw->ports + (uint32_t)c->to];
    switch (c->kind) {
    case SW_SET_LINK:
        p->delay_ns = c->delay_ns;
        p->jitter_ns = c->jitter_ns;
        p->rate.pace = c->pace;
        p->loss = (uint32_t)c->loss;
        p->mtu = (uint32_t)c->mtu;
        p->reorder = c->on != 0;
        break;
    case SW_SET_CUT:
        p->cut = c->on != 0;
        p->generation += p->cut;
        break;
    case SW_SET_SILENT:
        sw->port[c->from].silent = c->on;
        break;
    case SW_SET_LINE:
        sw->port[c->from].up.pace = c->pace;
        sw->port[c->from].down.pace = c->down;
        break;
    }
}
