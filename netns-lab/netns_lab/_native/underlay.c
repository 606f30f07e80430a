/* RTT between nodes of an underlay, and the best that relays could make of it.  paths_model.py is the same in
 * plain Python. */

/* One of 4096 detours for each unordered pair of nodes (the mixing function of splitmix64). */
static double detour(const paths_underlay *u, int32_t a, int32_t b)
{
    uint64_t low = a < b ? a : b, high = a < b ? b : a;
    uint64_t z = u->seed + (high << 32 | low) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return u->detours[(z ^ z >> 31) >> 52];
}

static int32_t pair_us(const paths_underlay *u, int32_t a, int32_t b)
{
    if (u->matrix_us)
        return u->matrix_us[(size_t)a * u->nodes + b];
    if (a == b)
        return 0;
    const double *p = u->places + 3 * (size_t)a, *q = u->places + 3 * (size_t)b;
    double cosine = p[0] * q[0] + p[1] * q[1] + p[2] * q[2];
    double angle = cosine >= 1 ? 0 : cosine <= -1 ? M_PI : acos(cosine);
    /* The sum of both accesses first: the same in both directions, to the last bit. */
    double us = (u->access_us[a] + u->access_us[b]) + angle * u->radian_us * detour(u, a, b);
    return (int32_t)(us + 0.5);
}

void paths_direct(const paths_underlay *underlay, int32_t from, int32_t *row_us)
{
    for (int32_t to = 0; to < underlay->nodes; to++)
        row_us[to] = pair_us(underlay, from, to);
}

void paths_pairs(const paths_underlay *underlay, const int32_t *a, const int32_t *b, int32_t count,
                 int32_t *out_us)
{
    for (int32_t i = 0; i < count; i++)
        out_us[i] = pair_us(underlay, a[i], b[i]);
}

/* Shortest paths from each source to every node over the complete graph, each relay adding relay_us (count x nodes).
 *
 * Every row of the underlay is gone through for all sources together, and again only for those that have come closer
 * to that node since: rows are dear where they are computed, and most best paths have one relay or none.
 * Returns -1 when there is no memory. */
int paths_best(const paths_underlay *underlay, const int32_t *sources, int32_t count, int32_t relay_us,
               int32_t *best_us)
{
    size_t n = underlay->nodes;
    int32_t *row_us = malloc(n * sizeof *row_us);
    uint8_t *closer = malloc(n * count + 1);
    int failed = !row_us || !closer;
    for (int32_t s = 0; s < count && !failed; s++) {
        paths_direct(underlay, sources[s], best_us + s * n);
        memset(closer + s * n, 1, n);
        closer[s * n + sources[s]] = 0;
    }
    for (int again = !failed; again;) {
        again = 0;
        for (size_t relay = 0; relay < n; relay++) {
            int have_row = 0;
            for (int32_t s = 0; s < count; s++) {
                if (!closer[s * n + relay])
                    continue;
                if (!have_row)
                    paths_direct(underlay, (int32_t)relay, row_us);
                have_row = 1;
                closer[s * n + relay] = 0;
                int32_t *best = best_us + s * n, base = best[relay] + relay_us;
                for (size_t to = 0; to < n; to++) {
                    if (base + row_us[to] < best[to]) {
                        best[to] = base + row_us[to];
                        closer[s * n + to] = 1;
                        again = 1;
                    }
                }
            }
        }
    }
    free(row_us);
    free(closer);
    return failed ? -1 : 0;
}
