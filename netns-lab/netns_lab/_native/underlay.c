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

/* One turn of the search for shortest paths over the complete graph, each relay adding relay_us: through each of the
 * relays first .. end - 1, for those of count sources that have come closer to it since its last turn (closer, count x
 * nodes, as best_us).  Turns are repeated until none returns 1, "something has come closer".
 *
 * All sources together, because the underlay's rows are dear where they are computed; again only for what changed,
 * because most best paths have one relay or none.  Returns -1 when there is no memory. */
int paths_relax(const paths_underlay *underlay, int32_t first, int32_t end, int32_t count, int32_t relay_us,
                int32_t *best_us, uint8_t *closer)
{
    size_t n = underlay->nodes;
    int changed = 0;
    int32_t *row_us = malloc(n * sizeof *row_us);
    if (!row_us)
        return -1;
    for (int32_t relay = first; relay < end; relay++) {
        int have_row = 0;
        for (int32_t s = 0; s < count; s++) {
            if (!closer[s * n + relay])
                continue;
            if (!have_row)
                paths_direct(underlay, relay, row_us);
            have_row = 1;
            closer[s * n + relay] = 0;
            int32_t *best = best_us + s * n, base = best[relay] + relay_us;
            for (size_t to = 0; to < n; to++) {
                if (base + row_us[to] < best[to]) {
                    best[to] = base + row_us[to];
                    closer[s * n + to] = 1;
                    changed = 1;
                }
            }
        }
    }
    free(row_us);
    return changed;
}
