/* Routes of a whole overlay, as Babel's metrics make them once everything has settled.
 *
 * paths_model.py is the same in plain Python.  The functions keep no state: Python calls them from several
 * threads, each with destinations of its own (cffi releases the interpreter's lock).
 */

#define INFINITE 65535 /* RFC 8966 section 3.2.6: a route of this metric is none */

/* Nodes whose metric is known but not final, in one list per metric.  Metrics are below 65535, so taking the
 * smallest is a walk over the lists: cheaper than a heap, and we do this for each of 10,000 destinations. */
typedef struct {
    int32_t *head; /* per metric, -1 if empty */
    int32_t *next, *previous;
} buckets;

static void bucket_remove(buckets *b, int32_t node, int32_t metric)
{
    int32_t next = b->next[node], previous = b->previous[node];
    if (next >= 0)
        b->previous[next] = previous;
    if (previous >= 0)
        b->next[previous] = next;
    else
        b->head[metric] = next;
}

static void bucket_add(buckets *b, int32_t node, int32_t metric)
{
    int32_t next = b->head[metric];
    b->next[node] = next;
    b->previous[node] = -1;
    if (next >= 0)
        b->previous[next] = node;
    b->head[metric] = node;
}

typedef struct {
    buckets waiting;
    int32_t *metric; /* to the destination, INFINITE if unknown */
    int32_t *via;    /* arc to the next hop */
    int64_t *path_us;
    int16_t *hops;
} tree;

/* All routes to one destination (Dijkstra from it, against the arcs).  Of next hops with equal metric the first
 * arc wins, whatever the order in which they were found. */
static void grow(const paths_mesh *mesh, int32_t destination, int32_t relay_us, tree *t, int32_t *carried)
{
    for (int32_t node = 0; node < mesh->nodes; node++) {
        t->metric[node] = INFINITE;
        t->via[node] = -1;
        t->path_us[node] = -1;
        t->hops[node] = -1;
    }
    t->metric[destination] = 0;
    bucket_add(&t->waiting, destination, 0);
    int32_t left = 1;
    for (int32_t metric = 0; left > 0; metric++) {
        int32_t node;
        while ((node = t->waiting.head[metric]) >= 0) {
            bucket_remove(&t->waiting, node, metric);
            left--;
            int32_t arc = t->via[node];
            if (arc < 0) {
                t->path_us[node] = 0;
                t->hops[node] = 0;
            } else {
                int32_t hop = mesh->to[arc];
                t->path_us[node] = mesh->rtt_us[arc] + t->path_us[hop] + (hop == destination ? 0 : relay_us);
                t->hops[node] = t->hops[hop] + 1;
                carried[arc]++;
            }
            for (int32_t out = mesh->first[node]; out < mesh->first[node + 1]; out++) {
                int32_t other = mesh->to[out], in = mesh->back[out];
                int32_t offer = metric + mesh->cost[in], known = t->metric[other];
                if (offer < known) {
                    if (known < INFINITE)
                        bucket_remove(&t->waiting, other, known);
                    else
                        left++;
                    t->metric[other] = offer;
                    t->via[other] = in;
                    bucket_add(&t->waiting, other, offer);
                } else if (offer == known && offer < INFINITE && in < t->via[other]) {
                    t->via[other] = in;
                }
            }
        }
    }
}

/* For each destination: RTT of the path and number of hops from every node (count x nodes; -1: no route).  Both may
 * be NULL.  carried[arc] grows by one for each of these destinations that the arc's owner reaches through it.
 * metric (nodes x nodes, may be NULL): in a destination's own row, each node's metric to it.  relay_us is added for
 * each node on the way that forwards.  Returns -1 when there is no memory. */
int paths_routes(const paths_mesh *mesh, const int32_t *destinations, int32_t count, int32_t relay_us,
                 int32_t *carried, int64_t *path_us, int16_t *hops, uint16_t *metric)
{
    size_t n = mesh->nodes;
    int32_t *block = malloc((INFINITE + 4 * n) * sizeof *block);
    int64_t *own_us = malloc(n * sizeof *own_us);
    int16_t *own_hops = malloc(n * sizeof *own_hops);
    int failed = !block || !own_us || !own_hops;
    if (!failed) {
        tree t = {{block, block + INFINITE, block + INFINITE + n}, block + INFINITE + 2 * n,
                  block + INFINITE + 3 * n, own_us, own_hops};
        for (int32_t metric = 0; metric < INFINITE; metric++)
            t.waiting.head[metric] = -1;
        for (int32_t i = 0; i < count; i++) {
            if (path_us)
                t.path_us = path_us + i * n;
            if (hops)
                t.hops = hops + i * n;
            grow(mesh, destinations[i], relay_us, &t, carried);
            for (size_t node = 0; metric && node < n; node++)
                metric[destinations[i] * n + node] = t.metric[node];
        }
    }
    free(block);
    free(own_us);
    free(own_hops);
    return failed ? -1 : 0;
}

/* Some lines of that table: the metric of each of some nodes (rows) to each of some destinations, and what it costs to
 * get to that node (plus). */
void paths_metrics(const uint16_t *metric, int32_t nodes, const int32_t *of, const int32_t *plus, int32_t count,
                   const int32_t *destinations, int32_t width, int32_t *out)
{
    for (int32_t row = 0; row < count; row++) {
        for (int32_t k = 0; k < width; k++) {
            int32_t sum = metric[(size_t)destinations[k] * nodes + of[row]] + plus[row];
            *out++ = sum < INFINITE ? sum : INFINITE;
        }
    }
}

/* Of some rows of equal width the least in each column. */
void paths_least(const int32_t *rows, int32_t count, int32_t width, int32_t *least)
{
    for (int32_t k = 0; k < width; k++)
        least[k] = INFINITE;
    for (int32_t row = 0; row < count; row++)
        for (int32_t k = 0; k < width; k++)
            if (rows[(size_t)row * width + k] < least[k])
                least[k] = rows[(size_t)row * width + k];
}

/* The value that sorting would put at this rank (from 0); reorders the values (Hoare's selection). */
double paths_quantile(double *values, int64_t count, int64_t rank)
{
    int64_t low = 0, high = count - 1;
    while (low < high) {
        double pivot = values[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot)
                i++;
            while (pivot < values[j])
                j--;
            if (i <= j) {
                double swap = values[i];
                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        if (rank <= j)
            high = j;
        else if (rank >= i)
            low = i;
        else
            break;
    }
    return values[rank];
}
