/* When to probe, and when to call a tunnel silent: re6stnet/engine/probing.py line by line, which explains it. */
#include <errno.h>
#include <string.h>

#define IDLE_US 1000000
#define BUDGET_MHZ 60000
#define FIRST_US 100000
#define LAST_US 1000000
#define BURST_US 25000
#define FIRST_TIMEOUT_US 1000000
#define MARGIN_US 100000
#define LAST_TIMEOUT_US 2000000
#define NEED 4
#define NEED_MAX 16
#define LEAST_LOSS 1024
#define ONE (1 << 16)
#define LATE_US 150000
#define SLOW_US 20000
#define SLOW_FACTOR 2
#define SLOW_MOST_US 500000
#define CALM_US 10000000
#define WITNESSES 3
#define WITNESS_AGAIN_US 50000
#define RING 32
#define MAX_TARGETS 64
#define MAX_SENDS (MAX_TARGETS * (2 + WITNESSES))

typedef struct {
    uint64_t tag;
    int traffic, silent, declared, witnessed, doubt, news;
    int64_t next_at, interval, again, seq, ring[RING], sent_at, heard_seq, heard_sent, since, forgiven, asked;
    int64_t waiting, burst, burst_at, srtt, rttvar, loss, sent, answered;
} target;

typedef struct {
    int n;
    target targets[MAX_TARGETS];
    int64_t late, margin, calm_at;
} probing;

/* Probes to send; those that do not fit are sent, and counted, all the same: as if lost. */
typedef struct { prober_send *all; int n, most; } send_list;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static target *probing_find(probing *p, uint64_t tag)
{
    for (int i = 0; i < p->n; i++)
        if (p->targets[i].tag == tag)
            return &p->targets[i];
    return NULL;
}

static int64_t time_out(const probing *p, const target *t)
{
    if (t->srtt < 0)
        return FIRST_TIMEOUT_US;
    return least(t->srtt + most_of(4 * t->rttvar, p->margin), LAST_TIMEOUT_US);
}

static int64_t needed(const target *t)
{
    int64_t n = 0, chance = 1 << 24, loss = most_of(t->loss, LEAST_LOSS);
    while (chance > 1 && n < NEED_MAX) {
        chance = chance * loss >> 16;
        n++;
    }
    return most_of(n, NEED);
}

static int64_t target_due(const probing *p, const target *t)
{
    if (t->doubt)
        return t->burst ? t->burst_at : t->sent_at + time_out(p, t);
    if (t->silent || !t->since)
        return t->next_at;
    return least(t->next_at, t->since + time_out(p, t));
}

static void share(probing *p, int64_t now)
{
    int64_t left = most_of(BUDGET_MHZ - 1000 * (int64_t)p->n, 0), with_traffic = 0;
    for (int i = 0; i < p->n; i++)
        with_traffic += p->targets[i].traffic;
    int64_t first = with_traffic ? least(3000, left / with_traffic) : 0;
    for (int i = 0; i < p->n; i++) {
        target *t = &p->targets[i];
        t->interval = 1000000000 / (1000 + (t->traffic ? first : 0));
        if (!t->silent)
            t->next_at = least(t->next_at, now + t->interval);
    }
}

static int probing_add(probing *p, uint64_t tag, int64_t now)
{
    if (p->n >= MAX_TARGETS)
        return ENOSPC;
    target *t = &p->targets[p->n++];
    memset(t, 0, sizeof *t);
    t->tag = tag;
    t->next_at = now;
    t->interval = IDLE_US;
    t->silent = 1;
    t->again = FIRST_US;
    t->srtt = -1;
    share(p, now);
    return 0;
}

static void probing_remove(probing *p, uint64_t tag, int64_t now)
{
    target *t = probing_find(p, tag);
    if (t) {
        memmove(t, t + 1, (size_t)(&p->targets[p->n] - (t + 1)) * sizeof *t);
        p->n--;
    }
    share(p, now);
}

static void probing_use(probing *p, uint64_t tag, int traffic, int64_t now)
{
    target *t = probing_find(p, tag);
    if (!t)
        return;
    t->traffic = traffic;
    share(p, now);
}

static int64_t probing_due(const probing *p)
{
    int64_t due = -1;
    for (int i = 0; i < p->n; i++) {
        int64_t at = target_due(p, &p->targets[i]);
        due = due < 0 || at < due ? at : due;
    }
    return due;
}

static void send_one(target *t, int64_t now, send_list *sends)
{
    t->ring[t->seq % RING] = now;
    if (!t->since)
        t->since = now;
    t->waiting++;
    t->sent_at = now;
    t->sent++;
    if (sends->n < sends->most)
        sends->all[sends->n++] = (prober_send){t->tag, t->seq};
    t->seq++;
}

static int is_witnessed(const probing *p, const target *t)
{
    for (int i = 0; i < p->n; i++)
        if (&p->targets[i] != t && p->targets[i].heard_sent >= t->asked)
            return 1;
    return 0;
}

static void go_on_with_burst(const probing *p, target *t, int64_t now, send_list *sends)
{
    if (t->burst && t->burst_at <= now) {
        send_one(t, now, sends);
        t->burst--;
        t->burst_at = now + BURST_US;
    } else if (!t->burst && t->sent_at + time_out(p, t) <= now) {
        t->doubt = 0;
        t->witnessed = is_witnessed(p, t);
        t->silent = t->declared = t->news = 1;
        t->again = FIRST_US;
        t->next_at = now;
    }
}

static void ask_witnesses(probing *p, const target *t, int64_t now, send_list *sends)
{
    int left = WITNESSES;
    for (int i = 0; i < p->n; i++) {
        target *other = &p->targets[i];
        int fit = other != t && !other->silent && !other->doubt;
        if (fit && left && other->sent_at + WITNESS_AGAIN_US <= now && now < other->next_at) {
            send_one(other, now, sends);
            other->next_at = now + other->interval;
            left--;
        }
    }
}

static void forgive(probing *p, int64_t now)
{
    for (int i = 0; i < p->n; i++) {
        target *t = &p->targets[i];
        t->doubt = 0;
        t->since = t->waiting = 0;
        t->forgiven = t->seq;
        if (!t->silent)
            t->next_at = now;
    }
}

static void probing_step(probing *p, int64_t now, send_list *sends)
{
    int64_t due = probing_due(p);
    if (due < 0)
        return;
    if (now - due > SLOW_US) {
        p->margin = most_of(p->margin, least(MARGIN_US + SLOW_FACTOR * (now - due), SLOW_MOST_US));
        p->calm_at = now + CALM_US;
    } else if (now >= p->calm_at) {
        p->margin = MARGIN_US;
    }
    if (now - due > LATE_US) {
        p->late = most_of(p->late, now - due);
        forgive(p, now);
    }
    for (int i = 0; i < p->n; i++) {
        target *t = &p->targets[i];
        if (t->doubt) {
            go_on_with_burst(p, t, now, sends);
        } else if (!t->silent && t->since && t->since + time_out(p, t) <= now) {
            t->doubt = 1;
            t->asked = t->since + t->srtt;
            t->burst = most_of(needed(t) - t->waiting, 1);
            t->burst_at = now;
            go_on_with_burst(p, t, now, sends);
            ask_witnesses(p, t, now, sends);
        } else if (t->next_at <= now) {
            send_one(t, now, sends);
            if (t->silent) {
                t->next_at = now + t->again;
                t->again = least(2 * t->again, LAST_US);
            } else {
                t->next_at = most_of(t->next_at + t->interval, now + t->interval / 2);
            }
        }
    }
}

static void measure(target *t, int64_t rtt)
{
    if (t->srtt < 0) {
        t->srtt = rtt;
        t->rttvar = rtt / 2;
    } else {
        int64_t off = t->srtt - rtt;
        t->rttvar = (3 * t->rttvar + (off < 0 ? -off : off)) / 4;
        t->srtt = (7 * t->srtt + rtt) / 8;
    }
}

static void count_loss(target *t, int64_t misses)
{
    for (int64_t i = 0; i < misses; i++)
        t->loss += (ONE - t->loss) >> 5;
    t->loss -= t->loss >> 5;
}

static void verify_others(probing *p, const target *heard, int64_t now)
{
    for (int i = 0; i < p->n; i++) {
        target *t = &p->targets[i];
        if (t->declared && !t->witnessed && !t->doubt) {
            t->doubt = 1;
            t->asked = heard->heard_sent;
            t->since = t->waiting = 0;
            t->forgiven = t->seq;
            t->burst = needed(t);
            t->burst_at = now;
        }
    }
}

static int probing_answer(probing *p, uint64_t tag, int64_t seq, int64_t now)
{
    target *t = probing_find(p, tag);
    if (!t || seq < 0 || seq < t->seq - RING || seq >= t->seq || !t->ring[seq % RING])
        return 0;
    int64_t sent = t->ring[seq % RING];
    t->ring[seq % RING] = 0;
    t->answered++;
    measure(t, most_of(now - sent, 0));
    if (seq < t->heard_seq)
        return 1;
    count_loss(t, t->silent ? 0 : least(seq - t->heard_seq, 8));
    t->heard_seq = seq + 1;
    t->heard_sent = sent;
    int64_t first = most_of(seq + 1, t->forgiven);
    t->waiting = t->seq - first;
    t->since = t->waiting ? t->ring[first % RING] : 0;
    t->doubt = 0;
    if (t->silent) {
        t->silent = t->declared = t->witnessed = 0;
        t->news = 1;
        t->next_at = now + t->interval;
    }
    verify_others(p, t, now);
    return 1;
}

static int probing_take(probing *p, prober_news *news, int64_t *late)
{
    int n = 0;
    for (int i = 0; i < p->n; i++) {
        target *t = &p->targets[i];
        if (t->news)
            news[n++] = (prober_news){t->tag, t->silent, t->witnessed};
        t->news = 0;
    }
    *late = p->late;
    p->late = 0;
    return n;
}
