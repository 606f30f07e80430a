/* A thread that probes tunnels without the GIL: ICMPv6 echo requests to the peers' link-local addresses (RFC 4443
 * section 4), answered by their kernels; probing.c decides what to send, and what the answers mean.
 *
 * Each tunnel has a socket of its own, bound to its device, and a filter that lets in what comes from the peer's
 * address with the socket's random identifier: a peer that floods us fills its own buffer, not that of another tunnel,
 * not even on a device that they share, and is read no faster than READS packets for each probe.  An answer counts if
 * it brings the 128 random bits of its probe.  No lock is held while waiting.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READS 64
#define RECEIVE_BUFFER 16384
#define TOKEN 16
#define SAMPLE_US 1000000
#define TRAFFIC_PACKETS 24      /* per second: more than Babel's, and the peer's own probes with our answers */
#define TRAFFIC_LASTS_US 10000000
#define WAKE_TAG UINT64_MAX

typedef struct {
    int fd, allowed, paused;
    char device[IF_NAMESIZE];
    uint16_t id;                /* of all its echo requests, so that connection tracking has one entry for them */
    struct sockaddr_in6 address;
    uint8_t tokens[RING][TOKEN];
    int64_t foreign, packets, own, traffic_until;
    int sampled;
} peer;

struct prober {
    pthread_mutex_t lock;
    pthread_t thread;
    int running, stop, epoll_fd, wake_fd, event_fd, stats_fd;
    probing probing;
    peer peers[MAX_TARGETS];    /* in the order of probing.targets */
    int64_t sampled_at;
    char devices[1 << 16];
};

typedef struct { struct icmp6_hdr header; uint8_t token[TOKEN]; } echo;

static int64_t monotonic_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void count_up(int fd)
{
    uint64_t one = 1;
    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* EAGAIN: the counter is full, so the reader has been told already. */
    }
}

static int64_t now_for(const prober *p, int64_t now)
{
    return p->running ? monotonic_us() : now;
}

static void watch(prober *p, const target *t, peer *w, int reading)
{
    struct epoll_event event = {.events = reading ? EPOLLIN : 0, .data.u64 = t->tag};
    w->paused = !reading;
    epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, w->fd, &event);
}

static void send_probe(prober *p, const target *t, peer *w, int64_t seq)
{
    uint8_t *token = w->tokens[seq % RING];
    echo request = {.header = {.icmp6_type = ICMP6_ECHO_REQUEST}};
    if (getrandom(token, TOKEN, GRND_NONBLOCK) != TOKEN)
        return;                 /* as if lost */
    memcpy(request.token, token, TOKEN);
    request.header.icmp6_id = w->id;
    request.header.icmp6_seq = htons((uint16_t)seq);
    if (sendto(w->fd, &request, sizeof request, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&w->address,
               sizeof w->address) < 0) {
        /* No room, not up yet, device gone: the same as no answer. */
    }
    w->allowed = READS;
    if (w->paused)
        watch(p, t, w, 1);
}

/* One packet: whether it answers a probe that is waited for. */
static int take_packet(prober *p, const target *t, const peer *w, const echo *reply, ssize_t n,
                       const struct sockaddr_in6 *from)
{
    if (n != sizeof *reply || reply->header.icmp6_type != ICMP6_ECHO_REPLY
        || memcmp(&from->sin6_addr, &w->address.sin6_addr, sizeof from->sin6_addr))
        return 0;
    int64_t last = t->seq - 1, seq = last - (uint16_t)((uint16_t)last - ntohs(reply->header.icmp6_seq));
    if (seq < 0 || last - seq >= RING || memcmp(w->tokens[seq % RING], reply->token, TOKEN))
        return 0;
    return probing_answer(&p->probing, t->tag, seq, monotonic_us());
}

static void read_answers(prober *p, uint64_t tag)
{
    target *t = probing_find(&p->probing, tag);
    if (!t)
        return;                 /* removed while the event was on its way */
    peer *w = &p->peers[t - p->probing.targets];
    while (w->allowed > 0) {
        echo reply;
        struct sockaddr_in6 from = {0};
        socklen_t size = sizeof from;
        ssize_t n = recvfrom(w->fd, &reply, sizeof reply, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &size);
        if (n < 0)
            return;             /* nothing more; an error of the device shows as silence */
        w->allowed--;
        w->foreign += !take_packet(p, t, w, &reply, n, &from);
    }
    watch(p, t, w, 0);
}

/* The kernel's table of devices, as text; asked in other ways it waits for whoever is making a device, up to a second. */
static void read_devices(prober *p)
{
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n < sizeof p->devices - 1) {
        got = pread(p->stats_fd, p->devices + n, sizeof p->devices - 1 - n, (off_t)n);
        n += got > 0 ? (size_t)got : 0;
    }
    p->devices[n] = 0;
}

/* Packets that a device has carried, both ways; -1: not known. */
static int64_t packets_of(const prober *p, const char *device)
{
    size_t n = strlen(device);
    for (const char *line = p->devices; line; line = strchr(line, '\n')) {
        line += strspn(line, " \n");
        long long in, out;
        if (strncmp(line, device, n) == 0 && line[n] == ':'
            && sscanf(line + n + 1, "%*s %lld %*s %*s %*s %*s %*s %*s %*s %lld", &in, &out) == 2)
            return in + out;
    }
    return -1;
}

/* Tell which tunnels carry packets of others: more than probes and Babel's. */
static void sample_traffic(prober *p, int64_t now)
{
    int64_t elapsed = now - p->sampled_at;
    p->sampled_at = now;
    read_devices(p);
    for (int i = 0; i < p->probing.n; i++) {
        target *t = &p->probing.targets[i];
        peer *w = &p->peers[i];
        int64_t own = 0, tunnels = 0, packets = packets_of(p, w->device);
        for (int j = 0; j < p->probing.n; j++)  /* several on an OpenVPN server's device */
            if (p->peers[j].address.sin6_scope_id == w->address.sin6_scope_id) {
                own += p->probing.targets[j].sent + p->probing.targets[j].answered;
                tunnels++;
            }
        int64_t others = (packets - w->packets) - (own - w->own);
        if (w->sampled && packets >= 0 && others > TRAFFIC_PACKETS * tunnels * elapsed / SAMPLE_US)
            w->traffic_until = now + TRAFFIC_LASTS_US;
        w->sampled = packets >= 0;
        w->packets = packets;
        w->own = own;
        if (t->traffic != (now < w->traffic_until))
            probing_use(&p->probing, t->tag, now < w->traffic_until, now);
    }
}

static int has_news(const prober *p)
{
    int news = p->probing.late > 0;
    for (int i = 0; i < p->probing.n; i++)
        news |= p->probing.targets[i].news;
    return news;
}

/* Read everything that has arrived, waiting at most this long for the first, without the lock. */
static void receive(prober *p, int timeout_ms)
{
    struct epoll_event events[MAX_TARGETS + 1];
    pthread_mutex_unlock(&p->lock);
    int n = epoll_wait(p->epoll_fd, events, MAX_TARGETS + 1, timeout_ms);
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < n; i++) {
        uint64_t counted;
        if (events[i].data.u64 != WAKE_TAG)
            read_answers(p, events[i].data.u64);
        else if (read(p->wake_fd, &counted, sizeof counted) < 0) {
            /* Read already. */
        }
    }
}

static void *run(void *arg)
{
    prober *p = arg;
    prober_send all[MAX_SENDS];
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        int64_t due = probing_due(&p->probing), wait = due - monotonic_us();
        receive(p, due < 0 ? -1 : wait <= 0 ? 0 : (int)((wait + 999) / 1000));
        int64_t now = monotonic_us();
        due = probing_due(&p->probing);
        if (due >= 0 && due <= now) {
            receive(p, 0);      /* what is here already is not held against anybody, however late we are */
            send_list sends = {all, 0, MAX_SENDS};
            probing_step(&p->probing, now, &sends);
            for (int i = 0; i < sends.n; i++) {
                target *t = probing_find(&p->probing, sends.all[i].tag);
                if (t)
                    send_probe(p, t, &p->peers[t - p->probing.targets], sends.all[i].seq);
            }
            if (now - p->sampled_at >= SAMPLE_US)
                sample_traffic(p, now);
        }
        if (has_news(p))
            count_up(p->event_fd);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

prober *prober_new(void)
{
    prober *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    p->epoll_fd = p->wake_fd = p->event_fd = p->stats_fd = -1;
    p->probing.margin = MARGIN_US;
    return p;
}

int prober_start(prober *p, int event_fd)
{
    p->event_fd = event_fd;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->stats_fd = open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = WAKE_TAG};
    if (p->epoll_fd < 0 || p->wake_fd < 0 || p->stats_fd < 0
        || epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &event) < 0)
        return errno;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);        /* signals belong to Python's threads */
    int rc = pthread_create(&p->thread, NULL, run, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    p->running = rc == 0;
    return rc;
}

static void close_one(int fd)
{
    if (fd >= 0)
        close(fd);
}

void prober_free(prober *p)
{
    if (p->running) {
        pthread_mutex_lock(&p->lock);
        p->stop = 1;
        pthread_mutex_unlock(&p->lock);
        count_up(p->wake_fd);
        pthread_join(p->thread, NULL);
    }
    for (int i = 0; i < p->probing.n; i++)
        close_one(p->peers[i].fd);
    close_one(p->epoll_fd);
    close_one(p->wake_fd);
    close_one(p->stats_fd);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* Let nothing in but what comes from the peer's address with our identifier.  0, or -1 with errno. */
static int filter_packets(int fd, const peer *w)
{
    uint32_t part[4];
    memcpy(part, &w->address.sin6_addr, sizeof part);
    struct sock_filter code[] = {           /* the packet begins with the ICMPv6 header */
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct icmp6_hdr, icmp6_id)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohs(w->id), 0, 9),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 8),      /* source address, RFC 8200 section 3 */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(part[0]), 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(part[1]), 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 16),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(part[2]), 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 20),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohl(part[3]), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* A socket that hears nothing but the peer's echo replies on this device; -1 with errno. */
static int open_socket(const char *device, const peer *w)
{
    struct icmp6_filter filter;
    int buffer = RECEIVE_BUFFER, priority = 6;  /* before bulk data in the device's queue */
    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    if (fd >= 0 && filter_packets(fd, w) == 0
        && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) == 0
        && setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0
        && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0
        && setsockopt(fd, SOL_SOCKET, SO_PRIORITY, &priority, sizeof priority) == 0)
        return fd;
    int error = errno;
    close_one(fd);
    errno = error;
    return -1;
}

/* Without the lock: the kernel may take a second over it while devices are made.  0 or errno. */
static int open_peer(const prober *p, peer *w, const char *device, const unsigned char address[16])
{
    memset(w, 0, sizeof *w);
    w->fd = -1;
    if (!p->running)
        return 0;
    snprintf(w->device, sizeof w->device, "%s", device);
    w->address.sin6_family = AF_INET6;
    memcpy(&w->address.sin6_addr, address, sizeof w->address.sin6_addr);
    w->address.sin6_scope_id = if_nametoindex(device);
    if (!w->address.sin6_scope_id || getrandom(&w->id, sizeof w->id, GRND_NONBLOCK) < 0
        || (w->fd = open_socket(device, w)) < 0)
        return errno;
    w->allowed = READS;
    return 0;
}

int prober_add(prober *p, uint64_t tag, const char *device, const unsigned char address[16], int64_t now)
{
    peer w;
    int error = open_peer(p, &w, device, address);
    if (error)
        return error;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    pthread_mutex_lock(&p->lock);
    if (p->probing.n >= MAX_TARGETS) {
        error = ENOSPC;
    } else if (p->running && epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, w.fd, &event) < 0) {
        error = errno;
    } else {
        p->peers[p->probing.n] = w;
        probing_add(&p->probing, tag, now_for(p, now));
    }
    pthread_mutex_unlock(&p->lock);
    if (error)
        close_one(w.fd);
    count_up(p->wake_fd);
    return error;
}

void prober_remove(prober *p, uint64_t tag, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    target *t = probing_find(&p->probing, tag);
    if (t) {
        peer *w = &p->peers[t - p->probing.targets];
        if (w->fd >= 0)         /* close() is not enough while a child that has not called exec() yet has it, too */
            epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
        close_one(w->fd);
        memmove(w, w + 1, (size_t)(&p->peers[p->probing.n] - (w + 1)) * sizeof *w);
        probing_remove(&p->probing, tag, now_for(p, now));
    }
    pthread_mutex_unlock(&p->lock);
}

void prober_use(prober *p, uint64_t tag, int traffic, int64_t now)
{
    pthread_mutex_lock(&p->lock);
    probing_use(&p->probing, tag, traffic, now_for(p, now));
    pthread_mutex_unlock(&p->lock);
    count_up(p->wake_fd);
}

int prober_take(prober *p, prober_news *news, int64_t *late)
{
    pthread_mutex_lock(&p->lock);
    int n = probing_take(&p->probing, news, late);
    pthread_mutex_unlock(&p->lock);
    return n;
}

int prober_get_stats(prober *p, uint64_t tag, prober_stats *out)
{
    pthread_mutex_lock(&p->lock);
    const target *t = probing_find(&p->probing, tag);
    if (t)
        *out = (prober_stats){
            .silent = t->silent, .declared = t->declared, .doubt = t->doubt, .need = (int)needed(t), .srtt = t->srtt,
            .rttvar = t->rttvar, .timeout = time_out(&p->probing, t), .interval = t->interval, .loss = t->loss, .sent = t->sent,
            .answered = t->answered, .heard_sent = t->heard_sent, .foreign = p->peers[t - p->probing.targets].foreign,
        };
    pthread_mutex_unlock(&p->lock);
    return t ? 0 : -1;
}

int64_t prober_due(prober *p)
{
    return probing_due(&p->probing);
}

int prober_step(prober *p, int64_t now, prober_send *sends, int most)
{
    send_list list = {sends, 0, most};
    probing_step(&p->probing, now, &list);
    return list.n;
}

int prober_answer(prober *p, uint64_t tag, int64_t seq, int64_t now)
{
    return probing_answer(&p->probing, tag, seq, now);
}
