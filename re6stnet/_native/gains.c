/* What each candidate would bring, each tunnel's end would cost, and each swap of the two would come to.
 * gains_model.py is the same in plain Python. */

#define INFINITE 65535 /* RFC 8966 section 3.2.6 */

static int32_t sum(int32_t cost, int32_t metric)
{
    return metric >= INFINITE - cost ? INFINITE : cost + metric;
}

/* gain (offers): by how much all our metrics together would fall; theirs (offers): by how much the candidate's own
 * would; loss (tunnels): by how much ours would grow without the tunnel; swap (offers x tunnels): what is gained with
 * the one and without the other; total: all our metrics.  All weighted.  Returns -1 when there is no memory. */
int gains_work_out(const gains_choice *c, double *gain, double *theirs, double *loss, double *swap,
                   double *total)
{
    size_t width = c->width, tunnels = c->tunnels;
    int32_t *block = malloc((3 * width + 1) * sizeof *block);
    if (!block)
        return -1;
    int32_t *best = block, *second = block + width, *carrier = block + 2 * width;
    for (size_t k = 0; k < width; k++) {
        best[k] = second[k] = INFINITE;
        carrier[k] = -1;
    }
    for (size_t t = 0; t < tunnels; t++) {
        const int32_t *via = c->via + t * width;
        for (size_t k = 0; k < width; k++) {
            if (via[k] < best[k]) {
                second[k] = best[k];
                best[k] = via[k];
                carrier[k] = t;
            } else if (via[k] < second[k]) {
                second[k] = via[k];
            }
        }
        loss[t] = 0;
    }
    *total = 0;
    for (size_t k = 0; k < width; k++) {
        *total += c->weight[k] * best[k];
        if (carrier[k] >= 0)
            loss[carrier[k]] += c->weight[k] * (second[k] - best[k]);
    }
    for (size_t o = 0; o < (size_t)c->offers; o++) {
        const int32_t *offered = c->offered + o * width;
        double *row = swap + o * tunnels;
        gain[o] = theirs[o] = 0;
        for (size_t t = 0; t < tunnels; t++)
            row[t] = -loss[t];
        for (size_t k = 0; k < width; k++) {
            int32_t with = sum(c->cost[o], offered[k]), back = sum(c->cost[o], best[k]);
            if (back < offered[k])
                theirs[o] += c->weight[k] * (offered[k] - back);
            if (with >= second[k])
                continue;
            if (with < best[k])
                gain[o] += c->weight[k] * (best[k] - with);
            /* Without the tunnel that carries it now, this destination would come this way, not the second best. */
            if (carrier[k] >= 0)
                row[carrier[k]] += c->weight[k] * (second[k] - (with > best[k] ? with : best[k]));
        }
        for (size_t t = 0; t < tunnels; t++)
            row[t] += gain[o];
    }
    free(block);
    return 0;
}

/* Bring what candidates say (offered, offers x width) within reason: neither end of a route is farther from a
 * destination than the other by more than that route (route: our metric to each candidate). */
void gains_believe(int32_t width, int32_t tunnels, const int32_t *via, int32_t offers, const int32_t *route,
                   int32_t *offered)
{
    for (int32_t k = 0; k < width && tunnels > 0; k++) {
        int32_t best = INFINITE;
        for (int32_t t = 0; t < tunnels; t++)
            if (via[(size_t)t * width + k] < best)
                best = via[(size_t)t * width + k];
        for (int32_t o = 0; o < offers; o++) {
            int32_t *told = offered + (size_t)o * width + k;
            if (*told > best + route[o])
                *told = best + route[o];
            if (*told < best - route[o])
                *told = best - route[o];
        }
    }
}
