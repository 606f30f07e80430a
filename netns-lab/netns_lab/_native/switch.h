/* What Python sees of the C files beside this one.  build_switch.py hands this very text to
 * cffi: nothing for the preprocessor here. */

typedef struct sw_switch sw_switch;

/* Why a frame was dropped; the names and meanings are in netns_lab/internet/switch_model.py. */
enum sw_reason {
    SW_MALFORMED, SW_SOURCE, SW_UNKNOWN, SW_MULTICAST, SW_FLOOD, SW_SILENT, SW_CUT, SW_MTU, SW_LOSS, SW_RATE,
    SW_FULL, SW_PORT, SW_REASONS
};

typedef struct {
    uint64_t received;            /* frames read from the port */
    uint64_t delivered;           /* frames written to it (a flooded frame counts once per port) */
    uint64_t dropped[SW_REASONS]; /* of those that came from it */
    uint64_t gone;                /* its interface was deleted */
} sw_port_stats;

typedef struct {
    uint64_t queued;      /* frames in flight now */
    uint64_t late_max_ns;
    uint64_t peak_per_s;  /* deliveries in the busiest second */
    uint64_t late[1001];  /* deliveries by lateness, in steps of 10 us; the last holds >= 10 ms */
} sw_stats;

enum sw_kind { SW_SET_LINK, SW_SET_CUT, SW_SET_SILENT, SW_SET_LINE };

typedef struct {
    int kind;
    int from, to;       /* SW_SET_SILENT and SW_SET_LINE: from is the port */
    int on;             /* SW_SET_CUT, SW_SET_SILENT; SW_SET_LINK: whether frames may overtake */
    int64_t delay_ns, jitter_ns;
    int64_t pace, down; /* 65536ths of a ns per byte, 0: no limit; SW_SET_LINE: up and down */
    int64_t loss;       /* in 2^31sts */
    int64_t mtu;        /* of IP packets */
} sw_change;

sw_switch *sw_new(int ports, uint32_t pool_frames, uint64_t seed);
void sw_free(sw_switch *sw);

/* Any thread, also while sw_run() runs: all at once between two frames, or, if one is wrong, none: its index
 * is returned, else -1. */
int sw_apply(sw_switch *sw, const sw_change *changes, int count);
void sw_read_stats(sw_switch *sw, sw_stats *out, sw_port_stats *ports);

int sw_run(sw_switch *sw, const int *fds);
void sw_stop(sw_switch *sw);

/* For tests of the discipline without descriptors. */
int sw_receive(sw_switch *sw, int from, const uint8_t *data, size_t len, int64_t now_ns);
int64_t sw_next_due(const sw_switch *sw);
int sw_take(sw_switch *sw, int64_t now_ns, int *to, int64_t *due_ns, uint8_t *out);

int lab_tap_in(const char *netns_path, const char *ifname);
int lab_open_in(const char *netns_path, const char *path, int flags);
int lab_socket_in(const char *netns_path, int domain, int type, int protocol);
