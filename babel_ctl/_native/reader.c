/* A thread that reads babeld's control socket without the GIL; see client.py for the picture.
 *
 * DISCONNECTED --connect--> GREETING --ok--> DUMPING --ok of monitor--> SYNCED --end of file, error--> DISCONNECTED
 *
 * babeld 1.12 answers wrongly when several commands arrive in one read (the first "no" sticks to the following
 * ones), so there is never more than one command on the way.
 */
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <time.h>

#define RETRY_FIRST_MS 10
#define RETRY_LAST_MS 5000

static const char MONITOR[] = "monitor\n";

static int64_t monotonic_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void notify(reader *r)
{
    uint64_t one = 1;
    if (r->event_fd >= 0 && write(r->event_fd, &one, sizeof one) < 0) {
        /* EAGAIN: the counter is full, so Python has been told already. */
    }
}

static void retry_later(reader *r)
{
    r->retry_ms = r->retry_ms ? r->retry_ms * 2 : RETRY_FIRST_MS;
    if (r->retry_ms > RETRY_LAST_MS)
        r->retry_ms = RETRY_LAST_MS;
    r->retry_at = monotonic_ms() + r->retry_ms;
}

static void try_connect(reader *r)
{
    r->retry_at = 0;
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sock >= 0 && connect(sock, (struct sockaddr *)&r->address, sizeof r->address) == 0) {
        r->sock = sock;
        r->status.phase = R_GREETING;
        return;
    }
    int error = errno;
    if (sock >= 0)
        close(sock);
    /* No file: inotify tells when there is one.  A file nobody listens on is either a leftover, soon replaced, or
     * a babeld between bind and listen; the back-off ends at 5 s and starts anew when the file is replaced. */
    if (error != ENOENT)
        retry_later(r);
}

static void disconnect(reader *r, int wrong)
{
    /* Only a clean end of a good connection is followed by a quick new attempt. */
    if (!wrong && r->status.phase == R_SYNCED)
        r->retry_ms = 0;
    reset(r);
    retry_later(r);
}

/* Send the rest of the command in front, if it is its turn. */
static void send_command(reader *r)
{
    const char *line = NULL;
    if (r->status.phase == R_DUMPING && !r->outstanding)
        line = MONITOR;
    else if (r->status.phase == R_SYNCED && r->n_commands && !r->outstanding)
        line = r->commands[r->first_command].line;
    if (!line)
        return;
    size_t n = strlen(line);
    ssize_t sent = send(r->sock, line + r->sent, n - r->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0)
        r->sent += (size_t)sent;
    if (r->sent == n) {
        r->sent = 0;
        r->outstanding = 1;
    }
}

static int wants_to_send(const reader *r)
{
    return !r->outstanding && (r->status.phase == R_DUMPING || (r->status.phase == R_SYNCED && r->n_commands));
}

/* Take what is there, at most a few buffers so that other calls get the lock. */
static void read_socket(reader *r)
{
    for (int i = 0; i < 4; i++) {
        ssize_t n = recv(r->sock, r->buffer, sizeof r->buffer, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        int wrong = n > 0 && feed(r, r->buffer, (size_t)n) < 0;
        if (n <= 0 || wrong) {
            disconnect(r, wrong);
            return;
        }
    }
}

static void drain(int fd)
{
    char buffer[4096];
    while (read(fd, buffer, sizeof buffer) > 0)
        ;
}

static void *run(void *arg)
{
    reader *r = arg;
    pthread_mutex_lock(&r->lock);
    try_connect(r);
    while (!r->stop) {
        int64_t timeout = -1;
        if (r->sock < 0 && r->retry_at) {
            timeout = r->retry_at - monotonic_ms();
            if (timeout < 0)
                timeout = 0;
        }
        struct pollfd fds[3] = {
            {.fd = r->wake_fd, .events = POLLIN},
            {.fd = r->inotify_fd, .events = POLLIN},
            {.fd = r->sock, .events = (short)(POLLIN | (wants_to_send(r) ? POLLOUT : 0))},
        };
        pthread_mutex_unlock(&r->lock);
        int rc = poll(fds, 3, (int)timeout);
        pthread_mutex_lock(&r->lock);
        if (rc < 0)
            continue;
        if (fds[0].revents)
            drain(r->wake_fd);
        if (fds[1].revents) {
            drain(r->inotify_fd);
            if (r->sock < 0) {
                r->retry_ms = 0;
                try_connect(r);
            }
        } else if (r->sock < 0 && r->retry_at && monotonic_ms() >= r->retry_at) {
            try_connect(r);
        }
        if (r->sock >= 0 && fds[2].fd == r->sock && fds[2].revents & (POLLIN | POLLHUP | POLLERR)) {
            read_socket(r);
            notify(r);
        }
        if (r->sock >= 0)
            send_command(r);
    }
    reset(r);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

reader *reader_new(uint64_t max_entries)
{
    reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->sock = r->inotify_fd = r->wake_fd = r->event_fd = -1;
    tables_init(&r->tables, max_entries);
    return r;
}

int reader_start(reader *r, const char *path, int event_fd)
{
    char directory[sizeof r->address.sun_path];
    if (strlen(path) >= sizeof r->address.sun_path)
        return ENAMETOOLONG;
    r->address.sun_family = AF_UNIX;
    strcpy(r->address.sun_path, path);
    strcpy(directory, path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        return EINVAL;
    slash[slash == directory] = 0;
    r->event_fd = event_fd;
    r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    /* Watched before the first attempt: a socket made in between is not missed. */
    if (r->wake_fd < 0 || r->inotify_fd < 0
        || inotify_add_watch(r->inotify_fd, directory, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) < 0)
        return errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);        /* signals belong to Python's threads */
    int rc = pthread_create(&r->thread, NULL, run, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->running = rc == 0;
    return rc;
}

static void wake(reader *r)
{
    uint64_t one = 1;
    if (r->wake_fd >= 0 && write(r->wake_fd, &one, sizeof one) < 0) {
        /* EAGAIN: a wake-up is pending already. */
    }
}

void reader_free(reader *r)
{
    if (r->running) {
        pthread_mutex_lock(&r->lock);
        r->stop = 1;
        pthread_mutex_unlock(&r->lock);
        wake(r);
        pthread_join(r->thread, NULL);
    }
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    if (r->inotify_fd >= 0)
        close(r->inotify_fd);
    tables_free(&r->tables);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

int reader_feed(reader *r, const char *data, size_t n)
{
    pthread_mutex_lock(&r->lock);
    if (r->status.phase == R_DISCONNECTED)
        r->status.phase = R_GREETING;
    int rc = feed(r, data, n);
    if (rc < 0)
        reset(r);
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void reader_reset(reader *r)
{
    pthread_mutex_lock(&r->lock);
    reset(r);
    pthread_mutex_unlock(&r->lock);
}

int reader_command(reader *r, const char *line, uint64_t tag)
{
    int rc = -1;
    size_t n = strlen(line);
    pthread_mutex_lock(&r->lock);
    if (r->status.phase == R_SYNCED && n > 0 && n <= MAX_COMMAND && r->n_commands + r->n_answers < MAX_COMMANDS) {
        command *c = &r->commands[(r->first_command + r->n_commands++) % MAX_COMMANDS];
        c->tag = tag;
        memcpy(c->line, line, n);
        memcpy(c->line + n, "\n", 2);
        if (!r->running)
            r->outstanding = 1;
        rc = 0;
    }
    pthread_mutex_unlock(&r->lock);
    if (rc == 0)
        wake(r);
    return rc;
}

int reader_answer_next(reader *r, reader_answer *out)
{
    pthread_mutex_lock(&r->lock);
    int some = r->n_answers > 0;
    if (some) {
        *out = r->answers[r->first_answer];
        r->first_answer = (r->first_answer + 1) % MAX_COMMANDS;
        r->n_answers--;
    }
    pthread_mutex_unlock(&r->lock);
    return some;
}

void reader_get_status(reader *r, reader_status *out)
{
    pthread_mutex_lock(&r->lock);
    for (int kind = 0; kind < R_KINDS; kind++)
        r->status.versions[kind] = r->tables.kinds[kind].version;
    r->status.pending = r->tables.n_dirty;
    r->status.allocated = r->tables.allocated;
    *out = r->status;
    pthread_mutex_unlock(&r->lock);
}

static int is_ipv4(const reader_record *rec)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return rec->plen >= 96 && memcmp(rec->prefix, mapped, 12) == 0;
}

reader_record *reader_snapshot(reader *r, int kind, int64_t *n, uint64_t *version)
{
    *n = -1;
    if (kind < 0 || kind >= R_KINDS)
        return NULL;
    pthread_mutex_lock(&r->lock);
    table *k = &r->tables.kinds[kind];
    reader_record *out = k->n_live ? malloc(k->n_live * sizeof *out) : NULL;
    if (out || !k->n_live) {
        *n = 0;
        for (const entry *e = k->live; e; e = e->live_next)
            if (kind != R_BEST || (e->rec.src_plen == 0 && !is_ipv4(&e->rec)))
                out[(*n)++] = e->rec;
    }
    *version = k->version;
    pthread_mutex_unlock(&r->lock);
    return out;
}

int reader_take(reader *r, reader_record **records, int64_t counts[10])
{
    pthread_mutex_lock(&r->lock);
    uint64_t size = r->tables.n_dirty;
    *records = malloc((size ? size : 1) * sizeof **records);
    if (*records)
        tables_take(&r->tables, *records, counts);
    pthread_mutex_unlock(&r->lock);
    return *records ? 0 : -1;
}

void reader_release(reader_record *records)
{
    free(records);
}
