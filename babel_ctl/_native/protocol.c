/* One connection to babeld, as bytes come in: greeting, lines, answers; what it tells goes to the tables.
 *
 * GREETING --ok--> DUMPING --ok of monitor--> SYNCED; an error or the end of the connection: reset().
 * No I/O but closing the socket.  Not thread-safe: reader.c, which has the thread, holds the mutex.
 */
#include <pthread.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_COMMANDS 64
#define MAX_COMMAND 511

typedef struct { uint64_t tag; char line[MAX_COMMAND + 2]; } command;

struct reader {
    pthread_mutex_t lock;
    pthread_t thread;
    int running, stop, sock, inotify_fd, wake_fd, event_fd;
    struct sockaddr_un address;
    tables tables;
    reader_status status;
    int greeted, has_id;        /* header lines seen on this connection */
    int outstanding;            /* lines sent and not answered: 0 or 1 */
    size_t sent;                /* bytes of the first command already written */
    command commands[MAX_COMMANDS];     /* ring */
    unsigned first_command, n_commands;
    reader_answer answers[MAX_COMMANDS];        /* ring; commands + answers never exceed its size */
    unsigned first_answer, n_answers;
    char line[MAX_LINE + 1];
    size_t n_line;
    int64_t retry_ms;           /* next delay; 0: no failure yet */
    int64_t retry_at;           /* monotonic ms; 0: wait for the socket to appear */
    char buffer[1 << 16];
};

static int fail(reader *r, const char *what, const char *line, size_t n)
{
    char shown[64];
    size_t i;
    for (i = 0; i < n && i < sizeof shown - 1; i++)
        shown[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
    shown[i] = 0;
    snprintf(r->status.error, sizeof r->status.error, "%s%s%s", what, n ? ": " : "", shown);
    return -1;
}

static void push_answer(reader *r, uint64_t tag, int status, const char *message, size_t n)
{
    reader_answer *a = &r->answers[(r->first_answer + r->n_answers++) % MAX_COMMANDS];
    memset(a, 0, sizeof *a);
    a->tag = tag;
    a->status = status;
    memcpy(a->message, message, n < sizeof a->message ? n : sizeof a->message - 1);
}

static int handle_answer(reader *r, int status, const char *message, size_t n)
{
    if (r->status.phase == R_DUMPING) {
        if (status != ANSWER_OK)
            return fail(r, "babeld refuses to be monitored", message, n);
        r->status.phase = R_SYNCED;
        r->status.error[0] = 0;
        r->outstanding = 0;
        return 0;
    }
    if (!r->outstanding)
        return fail(r, "answer without a command", "", 0);
    push_answer(r, r->commands[r->first_command].tag, status, message, n);
    r->first_command = (r->first_command + 1) % MAX_COMMANDS;
    r->n_commands--;
    r->outstanding = !r->running && r->n_commands;      /* fed by hand: all count as sent */
    r->sent = 0;
    return 0;
}

static int handle_header(reader *r, const char *line, size_t n)
{
    if (!r->greeted) {
        uint32_t minor;
        if (n < 9 || memcmp(line, "BABEL 1.", 8) || parse_number((token){line + 8, n - 8}, &minor))
            return fail(r, "not babeld's greeting", line, n);
        r->greeted = 1;
    } else if (n > 8 && memcmp(line, "version ", 8) == 0) {
        size_t length = n - 8 < sizeof r->status.version ? n - 8 : sizeof r->status.version - 1;
        memset(r->status.version, 0, sizeof r->status.version);
        for (size_t i = 0; i < length; i++)
            r->status.version[i] = line[8 + i] >= ' ' && line[8 + i] <= '~' ? line[8 + i] : '?';
    } else if (n > 6 && memcmp(line, "my-id ", 6) == 0) {
        uint8_t id[8];
        if (parse_router_id((token){line + 6, n - 6}, id))
            return fail(r, "bad router id", line, n);
        memcpy(r->status.router_id, id, 8);
        r->has_id = 1;
    } else if (n == 2 && memcmp(line, "ok", 2) == 0) {
        if (!r->has_id)
            return fail(r, "greeting without a router id", "", 0);
        r->status.phase = R_DUMPING;
        r->status.connections++;
    }
    return 0;
}

static int handle_line(reader *r, const char *line, size_t n)
{
    reader_record rec;
    int remove;
    if (r->status.phase < R_DUMPING)
        return handle_header(r, line, n);
    if ((n > 4 && memcmp(line, "add ", 4) == 0) || (n > 7 && memcmp(line, "change ", 7) == 0)
        || (n > 6 && memcmp(line, "flush ", 6) == 0)) {
        int kind = parse_record(line, n, &rec, &remove);
        if (kind < 0)
            return fail(r, "bad record", line, n);
        if (kind > 0 && remove)
            tables_remove(&r->tables, &rec);
        else if (kind > 0 && tables_put(&r->tables, &rec) < 0)
            return fail(r, "more entries than allowed", "", 0);
        return 0;
    }
    token all = {line, n};
    if (is_word(all, "ok") || is_word(all, "done"))
        return handle_answer(r, ANSWER_OK, "", 0);
    if (is_word(all, "no") || (n > 3 && memcmp(line, "no ", 3) == 0))
        return handle_answer(r, ANSWER_NO, line + 3, n > 3 ? n - 3 : 0);
    if (is_word(all, "bad"))
        return handle_answer(r, ANSWER_BAD, "", 0);
    return fail(r, "unexpected line", line, n);
}

/* End of a connection, in the lock: everything babeld told is void. */
static void reset(reader *r)
{
    if (r->sock >= 0)
        close(r->sock);
    r->sock = -1;
    tables_clear(&r->tables);
    while (r->n_commands) {
        push_answer(r, r->commands[r->first_command].tag, ANSWER_LOST, "", 0);
        r->first_command = (r->first_command + 1) % MAX_COMMANDS;
        r->n_commands--;
    }
    r->outstanding = r->greeted = r->has_id = 0;
    r->sent = r->n_line = 0;
    r->status.phase = R_DISCONNECTED;
}

static int feed(reader *r, const char *data, size_t n)
{
    const char *end = data + n;
    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        size_t part = (size_t)((newline ? newline : end) - data);
        if (r->n_line + part > MAX_LINE)
            return fail(r, "line too long", "", 0);
        if (!newline || r->n_line) {
            memcpy(r->line + r->n_line, data, part);
            r->n_line += part;
        }
        if (!newline)
            return 0;
        int rc = r->n_line ? handle_line(r, r->line, r->n_line) : handle_line(r, data, part);
        r->n_line = 0;
        if (rc < 0)
            return -1;
        data = newline + 1;
    }
    return 0;
}
