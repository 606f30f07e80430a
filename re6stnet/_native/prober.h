/* The interface between prober.c and Python; build_prober.py hands this file to cffi as it is.  Times: microseconds. */

typedef struct {
    uint64_t tag;
    int silent, witnessed;      /* as in re6stnet/engine/probing.py */
} prober_news;

typedef struct { uint64_t tag; int64_t seq; } prober_send;

typedef struct {
    int silent, declared, doubt, need;
    int64_t srtt, rttvar, timeout, interval, loss, sent, answered, heard_sent;
    int64_t foreign;            /* packets that answered no probe of ours */
} prober_stats;

typedef struct prober prober;

/* A prober without a thread, to be stepped by hand; NULL when out of memory. */
prober *prober_new(void);
/* Start the thread; it counts up event_fd on news.  0 or errno. */
int prober_start(prober *p, int event_fd);
/* Stop the thread, close everything but event_fd, free. */
void prober_free(prober *p);
/* Probe the link-local address of a peer on a device.  0 or errno (ENOSPC: too many).  now: for probers without thread. */
int prober_add(prober *p, uint64_t tag, const char *device, const unsigned char address[16], int64_t now);
void prober_remove(prober *p, uint64_t tag, int64_t now);
void prober_use(prober *p, uint64_t tag, int traffic, int64_t now);
/* The news since the last call, at most 64; *late: how late the thread ran, 0 if it did not. */
int prober_take(prober *p, prober_news *news, int64_t *late);
/* 0, or -1 if there is no such tunnel. */
int prober_get_stats(prober *p, uint64_t tag, prober_stats *out);

/* For probers without thread, what the thread does: -1 if nothing is ever due; probes to send; 1 if one was waited for. */
int64_t prober_due(prober *p);
int prober_step(prober *p, int64_t now, prober_send *sends, int most);
int prober_answer(prober *p, uint64_t tag, int64_t seq, int64_t now);
