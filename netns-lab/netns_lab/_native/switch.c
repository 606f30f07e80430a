/* A layer-2 switch between file descriptors that treats every frame as the link of its pair of ports says.
 *
 *   port a --read--> [line up] --> pair (a,b): cut? MTU, loss, [rate], delay --> [line down] --write--> port b
 *
 * A line with a rate (brackets) is the time at which it is free again: what a frame waits is known when it
 * arrives, and what would wait longer than LINE_QUEUE_NS is dropped.  Behind that, a pair is a FIFO whose frames
 * know when they are due; the line down is a FIFO too, because frames of several pairs meet there in an order that
 * shows only when they are due.  One pair may hold at most a quarter of all frames, so that a flood on one path does
 * not take the others down.  Chance is a function of seed, pair and number of the frame.
 *
 * The number of a port is in its MAC address (02:6c:61:62:HH:LL, "lab" in the middle): nothing to learn, nothing to
 * forge.  Of group addresses only ARP and neighbour discovery are carried, as far as FLOOD_NS allows: to all others.
 *
 * netns_lab/internet/switch_model.py is the same discipline in plain Python and explains it.  Not thread-safe:
 * switch_loop.c lets other threads in.  These files, switch_state.c first, are compiled as one.
 */
enum {
    LINE_QUEUE_NS = 100000000,
    FLOOD_NS = 3906250, /* between two group-addressed frames of a port, on average: 256 per second */
    FLOOD_BURST_NS = 1000000000,
};

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
            return drop(sw, from, SW_MULTICAST);
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
