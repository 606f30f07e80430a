/* What Python sees of paths.c and underlay.c.  build_paths.py hands this very text to cffi: nothing for the
 * preprocessor here. */

/* An overlay: nodes, and an arc each way for each tunnel.  The arcs of node u are first[u] .. first[u + 1] - 1. */
typedef struct {
    int32_t nodes;
    const int32_t *first;  /* nodes + 1 */
    const int32_t *to;
    const int32_t *back;   /* the arc of the same tunnel the other way */
    const int32_t *cost;   /* what the arc's owner adds to the metric of routes through it: at least 1 */
    const int32_t *rtt_us; /* what a packet and its answer really take */
} paths_mesh;

/* An underlay: a matrix, or places on a sphere. */
typedef struct {
    int32_t nodes;
    const int32_t *matrix_us; /* nodes x nodes, symmetric; NULL: computed from what follows */
    const double *places;     /* nodes x 3, unit vectors */
    const double *access_us;  /* what each node's own attachment adds */
    double radian_us;         /* RTT over one radian of the straight line */
    const double *detours;    /* 4096 factors by which lines are longer than straight; a pair's hash draws one */
    uint64_t seed;
} paths_underlay;

int paths_routes(const paths_mesh *mesh, const int32_t *destinations, int32_t count, int32_t relay_us,
                 int32_t *carried, int64_t *path_us, int16_t *hops, uint16_t *metric);
void paths_metrics(const uint16_t *metric, int32_t nodes, const int32_t *of, const int32_t *plus, int32_t count,
                   const int32_t *destinations, int32_t width, int32_t *out);
void paths_least(const int32_t *rows, int32_t count, int32_t width, int32_t *least);
double paths_quantile(double *values, int64_t count, int64_t rank);

void paths_direct(const paths_underlay *underlay, int32_t from, int32_t *row_us);
void paths_pairs(const paths_underlay *underlay, const int32_t *a, const int32_t *b, int32_t count,
                 int32_t *out_us);
int paths_relax(const paths_underlay *underlay, int32_t first, int32_t end, int32_t count, int32_t relay_us,
                int32_t *best_us, uint8_t *closer);
