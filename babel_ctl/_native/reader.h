/* The interface between reader.c and Python; build_reader.py hands this file to cffi as it is. */

enum { R_INTERFACE, R_NEIGHBOUR, R_XROUTE, R_ROUTE, R_BEST, R_KINDS };
enum { R_UP = 1, R_INSTALLED = 2, R_HAS_RTT = 4, R_HAS_IPV6 = 8, R_HAS_IPV4 = 16 };
enum { R_DISCONNECTED, R_GREETING, R_DUMPING, R_SYNCED };
enum { ANSWER_OK, ANSWER_NO, ANSWER_BAD, ANSWER_LOST };

/* One record of any kind, 120 bytes, unpacked by messages.RECORD: keep both in step.  IPv4 prefixes are v4-mapped
 * (length + 96), as babeld keeps them.  plen to src is the key of a destination. */
typedef struct {
    uint64_t id;
    uint8_t kind, flags;
    uint16_t reach, ureach;
    uint8_t plen, src_plen, prefix[16], src[16];
    uint8_t address[16];
    uint8_t router_id[8];
    uint32_t metric, refmetric, rxcost, txcost, cost, rttcost, rtt_us;
    uint8_t ipv4[4];
    char ifname[16];
} reader_record;

typedef struct {
    int phase;                  /* R_DISCONNECTED ... R_SYNCED */
    uint8_t router_id[8];
    char version[64];
    char error[160];            /* why the last connection ended; empty: end of file */
    uint64_t connections;       /* greetings completed since the reader exists */
    uint64_t versions[5];       /* per kind: changes with its table */
    uint64_t pending;           /* records that the next reader_take() returns */
    uint64_t allocated;         /* table entries in memory, removed but untaken ones included */
} reader_status;

typedef struct { uint64_t tag; int status; char message[104]; } reader_answer;

typedef struct reader reader;

/* A reader without a thread, to be fed by hand; NULL when out of memory.  max_entries bounds all tables together. */
reader *reader_new(uint64_t max_entries);
/* Start the thread: connect to the socket at path, again whenever it appears; counts up event_fd on news. 0 or errno. */
int reader_start(reader *r, const char *path, int event_fd);
/* Stop the thread, close everything but event_fd, free. */
void reader_free(reader *r);
/* Parse bytes as if read from babeld; 0, or -1 after an error (tables cleared, see status). For readers without thread. */
int reader_feed(reader *r, const char *data, size_t n);
/* The connection is gone: as on end of file. For readers without thread. */
void reader_reset(reader *r);
/* Queue one line (without newline); 0, or -1 when not synced, too long or more than 64 are unanswered. */
int reader_command(reader *r, const char *line, uint64_t tag);
/* Next answer; 1, or 0 when there is none. */
int reader_answer_next(reader *r, reader_answer *out);
void reader_get_status(reader *r, reader_status *out);
/* All records of a kind, to be freed with reader_release; NULL when none (n = 0) or out of memory (n = -1).
 * Of R_BEST only IPv6 destinations without a source prefix. */
reader_record *reader_snapshot(reader *r, int kind, int64_t *n, uint64_t *version);
/* The changes since the last call, merged per key, grouped: counts[2 * kind] changed, then counts[2 * kind + 1] removed
 * of each kind in turn.  Records freed with reader_release; 0, or -1 when out of memory. */
int reader_take(reader *r, reader_record **records, int64_t counts[10]);
void reader_release(reader_record *records);
