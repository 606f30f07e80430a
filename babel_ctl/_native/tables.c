/* Tables of babeld's state, with the changes since the last take merged per key.
 *
 * Every key has one entry.  An entry that Python has seen (known) stays as a tombstone after its removal until the
 * next take; one that Python never saw vanishes at once.  So memory is bounded by the tables, however late Python is.
 * Not thread-safe: reader.c holds its mutex.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

typedef struct entry entry;
struct entry {
    entry *next;                       /* in the hash bucket */
    entry *dirty_next, *dirty_prev;    /* in the list of changes */
    entry *live_next, *live_prev;      /* in the list of the kind */
    uint64_t hash;
    uint8_t live, known, dirty;
    entry *destination;                /* of a usable route */
    entry *sibling_next, *sibling_prev;
    entry *routes;                     /* of a destination: its usable routes, at least one while live */
    reader_record rec;
};

typedef struct { entry **buckets; uint64_t size, used; entry *live; uint64_t n_live, version; } table;

typedef struct {
    table kinds[R_KINDS];
    entry *dirty_head, *dirty_tail;
    uint64_t n_dirty, allocated, max_entries, secret[2];
} tables;

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t p = (__uint128_t)a * b;
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Keyed hash: what a mesh announces must not be able to make one long bucket. */
static uint64_t hash_key(const tables *t, const reader_record *rec)
{
    uint64_t w[5] = {rec->kind, 0, 0, 0, 0}, h = t->secret[0];
    switch (rec->kind) {
    case R_INTERFACE: memcpy(&w[1], rec->ifname, 16); break;
    case R_NEIGHBOUR: case R_ROUTE: w[1] = rec->id; break;
    default:
        memcpy(&w[1], rec->prefix, 16);
        memcpy(&w[3], rec->src, 16);
        w[0] |= (uint64_t)rec->plen << 8 | (uint64_t)rec->src_plen << 16;
    }
    for (int i = 0; i < 5; i++)
        h = mix(h ^ w[i], t->secret[1] ^ 0x9e3779b97f4a7c15u);
    return h;
}

static int same_key(const reader_record *a, const reader_record *b)
{
    switch (a->kind) {
    case R_INTERFACE: return memcmp(a->ifname, b->ifname, 16) == 0;
    case R_NEIGHBOUR: case R_ROUTE: return a->id == b->id;
    default:
        return a->plen == b->plen && a->src_plen == b->src_plen
            && memcmp(a->prefix, b->prefix, 16) == 0 && memcmp(a->src, b->src, 16) == 0;
    }
}

static entry *find(tables *t, const reader_record *rec, uint64_t hash)
{
    table *k = &t->kinds[rec->kind];
    if (k->size == 0)
        return NULL;
    for (entry *e = k->buckets[hash & (k->size - 1)]; e; e = e->next)
        if (e->hash == hash && same_key(&e->rec, rec))
            return e;
    return NULL;
}

static int grow(table *k)
{
    uint64_t size = k->size ? k->size * 2 : 64;
    entry **buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return -1;
    for (uint64_t i = 0; i < k->size; i++)
        for (entry *e = k->buckets[i], *next; e; e = next) {
            next = e->next;
            e->next = buckets[e->hash & (size - 1)];
            buckets[e->hash & (size - 1)] = e;
        }
    free(k->buckets);
    k->buckets = buckets;
    k->size = size;
    return 0;
}

static void dirty_drop(tables *t, entry *e)
{
    if (!e->dirty)
        return;
    if (e->dirty_prev) e->dirty_prev->dirty_next = e->dirty_next; else t->dirty_head = e->dirty_next;
    if (e->dirty_next) e->dirty_next->dirty_prev = e->dirty_prev; else t->dirty_tail = e->dirty_prev;
    e->dirty_next = e->dirty_prev = NULL;
    e->dirty = 0;
    t->n_dirty--;
}

static void dirty_add(tables *t, entry *e)
{
    t->kinds[e->rec.kind].version++;
    if (e->dirty)
        return;
    e->dirty = 1;
    e->dirty_prev = t->dirty_tail;
    if (t->dirty_tail) t->dirty_tail->dirty_next = e; else t->dirty_head = e;
    t->dirty_tail = e;
    t->n_dirty++;
}

static void destroy(tables *t, entry *e)
{
    table *k = &t->kinds[e->rec.kind];
    entry **p = &k->buckets[e->hash & (k->size - 1)];
    dirty_drop(t, e);
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    k->used--;
    t->allocated--;
    free(e);
}

/* The entry for this key, made if need be; NULL when out of memory or over the bound. */
static entry *obtain(tables *t, const reader_record *rec)
{
    uint64_t hash = hash_key(t, rec);
    table *k = &t->kinds[rec->kind];
    entry *e = find(t, rec, hash);
    if (!e) {
        if (t->allocated >= t->max_entries)
            return NULL;
        if (k->used >= k->size && grow(k) < 0)
            return NULL;
        e = calloc(1, sizeof *e);
        if (!e)
            return NULL;
        e->hash = hash;
        e->rec.kind = rec->kind;
        e->next = k->buckets[hash & (k->size - 1)];
        k->buckets[hash & (k->size - 1)] = e;
        k->used++;
        t->allocated++;
    }
    if (!e->live) {
        e->live = 1;
        e->live_prev = NULL;
        e->live_next = k->live;
        if (k->live)
            k->live->live_prev = e;
        k->live = e;
        k->n_live++;
        e->rec = *rec;
        dirty_add(t, e);
    }
    return e;
}

static void bury(tables *t, entry *e)
{
    table *k = &t->kinds[e->rec.kind];
    if (e->live_prev) e->live_prev->live_next = e->live_next; else k->live = e->live_next;
    if (e->live_next) e->live_next->live_prev = e->live_prev;
    e->live_next = e->live_prev = NULL;
    e->live = 0;
    k->n_live--;
    dirty_add(t, e);
    if (!e->known)
        destroy(t, e);
}

/* babeld keeps a retracted route installed for a while, as an unreachable one: it is no way to anywhere. */
static int is_usable(const reader_record *rec)
{
    return (rec->flags & R_INSTALLED) && rec->metric < 65535;
}

/* Best: the smallest metric, then the smallest id (babeld may show two installed routes while it switches). */
static void choose(tables *t, entry *dest)
{
    const entry *best = dest->routes;
    if (!best) {
        bury(t, dest);
        return;
    }
    for (const entry *r = best->sibling_next; r; r = r->sibling_next)
        if (r->rec.metric < best->rec.metric
            || (r->rec.metric == best->rec.metric && r->rec.id < best->rec.id))
            best = r;
    reader_record rec = best->rec;
    rec.kind = R_BEST;
    if (memcmp(&rec, &dest->rec, sizeof rec) != 0) {
        dest->rec = rec;
        dirty_add(t, dest);
    }
}

static int attach(tables *t, entry *route)
{
    reader_record rec = route->rec;
    rec.kind = R_BEST;
    entry *dest = obtain(t, &rec);
    if (!dest)
        return -1;
    route->destination = dest;
    route->sibling_prev = NULL;
    route->sibling_next = dest->routes;
    if (dest->routes)
        dest->routes->sibling_prev = route;
    dest->routes = route;
    choose(t, dest);
    return 0;
}

static void detach(tables *t, entry *route)
{
    entry *dest = route->destination;
    if (!dest)
        return;
    if (route->sibling_prev) route->sibling_prev->sibling_next = route->sibling_next;
    else dest->routes = route->sibling_next;
    if (route->sibling_next) route->sibling_next->sibling_prev = route->sibling_prev;
    route->destination = route->sibling_next = route->sibling_prev = NULL;
    choose(t, dest);
}

/* Add or change; 0, or -1 when the bound is reached. */
static int tables_put(tables *t, const reader_record *rec)
{
    entry *e = obtain(t, rec);
    if (!e)
        return -1;
    if (memcmp(&e->rec, rec, sizeof *rec) != 0) {
        /* A reused address may name a route of another destination. */
        if (e->destination && (!is_usable(rec) || e->rec.plen != rec->plen
                               || e->rec.src_plen != rec->src_plen || memcmp(e->rec.prefix, rec->prefix, 16)
                               || memcmp(e->rec.src, rec->src, 16)))
            detach(t, e);
        e->rec = *rec;
        dirty_add(t, e);
        if (e->destination)
            choose(t, e->destination);
    }
    if (rec->kind == R_ROUTE && is_usable(rec) && !e->destination)
        return attach(t, e);
    return 0;
}

static void tables_remove(tables *t, const reader_record *rec)
{
    entry *e = find(t, rec, hash_key(t, rec));
    if (!e || !e->live)
        return;
    detach(t, e);
    bury(t, e);
}

static void tables_clear(tables *t)
{
    for (int kind = 0; kind < R_BEST; kind++)
        while (t->kinds[kind].live) {
            detach(t, t->kinds[kind].live);
            bury(t, t->kinds[kind].live);
        }
}

/* Fill out (room for n_dirty records), grouped; forget the changes: tombstones are freed, the rest is known. */
static void tables_take(tables *t, reader_record *out, int64_t counts[2 * R_KINDS])
{
    int64_t at[2 * R_KINDS] = {0};
    memset(counts, 0, 2 * R_KINDS * sizeof *counts);
    for (const entry *e = t->dirty_head; e; e = e->dirty_next)
        counts[2 * e->rec.kind + !e->live]++;
    for (int group = 1; group < 2 * R_KINDS; group++)
        at[group] = at[group - 1] + counts[group - 1];
    for (entry *e = t->dirty_head, *next; e; e = next) {
        next = e->dirty_next;
        out[at[2 * e->rec.kind + !e->live]++] = e->rec;
        e->dirty = 0;
        e->dirty_next = e->dirty_prev = NULL;
        if (e->live)
            e->known = 1;
        else
            destroy(t, e);
    }
    t->dirty_head = t->dirty_tail = NULL;
    t->n_dirty = 0;
}

static void tables_init(tables *t, uint64_t max_entries)
{
    memset(t, 0, sizeof *t);
    t->max_entries = max_entries;
    if (getrandom(t->secret, sizeof t->secret, GRND_NONBLOCK) < 0)
        t->secret[0] = (uint64_t)(uintptr_t)t;
    t->secret[1] |= 1;
}

static void tables_free(tables *t)
{
    for (int kind = 0; kind < R_KINDS; kind++) {
        table *k = &t->kinds[kind];
        for (uint64_t i = 0; i < k->size; i++)
            for (entry *e = k->buckets[i], *next; e; e = next) {
                next = e->next;
                free(e);
            }
        free(k->buckets);
    }
}
