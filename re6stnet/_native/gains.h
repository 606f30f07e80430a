/* What Python sees of gains.c; build_gains.py hands this very text to cffi: nothing for the preprocessor here. */

/* A node's choice: metrics of its routes through each of its tunnels, and of the routes that candidates have.
 * Metrics are Babel's; 65535 and more is no route. */
typedef struct {
    int32_t width;          /* destinations */
    const double *weight;   /* what each of them counts */
    int32_t tunnels;
    const int32_t *via;     /* tunnels x width: our metric through each tunnel */
    int32_t offers;
    const int32_t *offered; /* offers x width: the metric of each candidate's own route */
    const int32_t *cost;    /* of a tunnel to each candidate */
} gains_choice;

void gains_believe(int32_t width, int32_t tunnels, const int32_t *via, int32_t offers, const int32_t *route,
                   int32_t *offered);
int gains_work_out(const gains_choice *choice, double *gain, double *theirs, double *loss, double *swap,
                   double *total);
