/* What Python sees of switch.c and descriptors.c.  build_switch.py hands this very text to cffi: nothing
 * for the preprocessor here. */

typedef struct sw_switch sw_switch;

typedef struct {
    uint64_t received;        /* frames read from a port */
    uint64_t delivered;       /* frames written to a port (a flooded frame counts once per port) */
    uint64_t dropped_full;    /* no buffer left, or the pair holds its share of them */
    uint64_t dropped_cut;     /* the pair is cut */
    uint64_t dropped_unknown; /* runt, too long, or addressed to no port */
    uint64_t dropped_port;    /* the receiving port refused the frame (interface down) */
    uint64_t queued;          /* frames in flight now */
    uint64_t late[1001];      /* deliveries by lateness, in steps of 10 us; the last holds >= 10 ms */
} sw_stats;

sw_switch *sw_new(int ports, uint32_t pool_frames);
void sw_free(sw_switch *sw);
void sw_set_delay(sw_switch *sw, int from, int to, int64_t delay_ns);

int sw_receive(sw_switch *sw, int from, const uint8_t *data, size_t len, int64_t now_ns);
int64_t sw_next_due(const sw_switch *sw);
int sw_take(sw_switch *sw, int64_t now_ns, int *to, uint8_t *out);

int sw_run(sw_switch *sw, const int *fds);
void sw_stop(sw_switch *sw);
void sw_read_stats(sw_switch *sw, sw_stats *out);

int lab_tap_in(const char *netns_path, const char *ifname);
int lab_socket_in(const char *netns_path, int domain, int type, int protocol);
