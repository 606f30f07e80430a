/* The switch at work: epoll over the ports and a timer, and the way in for other threads.
 *
 * All state belongs to the thread in sw_run().  Another thread that wants to see or change it hands over a
 * function and waits until the loop has called it between two frames: whatever it sets is set as a whole and in
 * force when it returns, and the frames' way needs no locks.
 */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

enum {
    READ_BATCH = 32, /* frames taken from one port before due frames are looked at again */
    LATE_STEP_NS = 10000,
    LATE_LAST = 1000,
    SECOND_NS = 1000000000,
};

static int64_t monotonic_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * SECOND_NS + ts.tv_nsec;
}

/* --- visitors ----------------------------------------------------------------------------------- */

static void wake(sw_switch *sw)
{
    uint64_t one = 1;
    if (write(sw->wake_fd, &one, sizeof one) < 0)
        return; /* the counter is full: the loop is about to wake anyway */
}

/* Call a function while the loop is not at work. */
static void visit(sw_switch *sw, void (*function)(sw_switch *, void *), void *argument)
{
    pthread_mutex_lock(&sw->lock);
    while (sw->visit)
        pthread_cond_wait(&sw->visited, &sw->lock);
    if (sw->running) {
        sw->visit = function;
        sw->visit_argument = argument;
        wake(sw);
        while (sw->visit_argument == argument)
            pthread_cond_wait(&sw->visited, &sw->lock);
    } else {
        function(sw, argument);
    }
    pthread_mutex_unlock(&sw->lock);
}

/* Serve who waits; `running` is what the loop is from now on. */
static void receive_visitor(sw_switch *sw, int running)
{
    pthread_mutex_lock(&sw->lock);
    sw->running = running;
    if (sw->visit) {
        sw->visit(sw, sw->visit_argument);
        sw->visit = NULL;
        sw->visit_argument = NULL;
        pthread_cond_broadcast(&sw->visited);
    }
    pthread_mutex_unlock(&sw->lock);
}

struct changes {
    const sw_change *change;
    int count, wrong;
};

static void apply_visitor(sw_switch *sw, void *argument)
{
    struct changes *all = argument;
    for (int i = 0; i < all->count; i++)
        change(sw, &all->change[i]);
}

int sw_apply(sw_switch *sw, const sw_change *changes, int count)
{
    struct changes all = {changes, count, -1};
    for (int i = 0; i < count; i++)
        if (!valid(sw, &changes[i]))
            return i;
    visit(sw, apply_visitor, &all);
    return -1;
}

struct stats {
    sw_stats *all;
    sw_port_stats *ports;
};

static void stats_visitor(sw_switch *sw, void *argument)
{
    struct stats *out = argument;
    *out->all = sw->stats;
    if (out->all->peak_per_s < sw->this_second)
        out->all->peak_per_s = sw->this_second;
    for (uint32_t i = 0; i < sw->ports; i++)
        out->ports[i] = sw->port[i].stats;
}

void sw_read_stats(sw_switch *sw, sw_stats *out, sw_port_stats *ports)
{
    struct stats wanted = {out, ports};
    visit(sw, stats_visitor, &wanted);
}

static void stop_visitor(sw_switch *sw, void *argument)
{
    (void)argument;
    sw->stopping = 1;
}

void sw_stop(sw_switch *sw)
{
    int on_its_own_stack;
    visit(sw, stop_visitor, &on_its_own_stack);
}

/* --- the loop ----------------------------------------------------------------------------------- */

static void count_delivery(sw_switch *sw, uint32_t to, int64_t late_ns, int64_t now_ns)
{
    int64_t step = late_ns / LATE_STEP_NS;
    sw->stats.late[step < LATE_LAST ? step : LATE_LAST]++;
    if ((uint64_t)late_ns > sw->stats.late_max_ns)
        sw->stats.late_max_ns = (uint64_t)late_ns;
    sw->port[to].stats.delivered++;
    if (now_ns - sw->second_ns >= SECOND_NS) {
        if (sw->stats.peak_per_s < sw->this_second)
            sw->stats.peak_per_s = sw->this_second;
        sw->second_ns = now_ns;
        sw->this_second = 0;
    }
    sw->this_second++;
}

static void deliver(sw_switch *sw, const int *fds, int64_t now_ns)
{
    uint32_t to;
    frame *f;
    while ((f = pop_due(sw, now_ns, &to))) {
        if (write(fds[to], f->data, f->len) == (ssize_t)f->len)
            count_delivery(sw, to, now_ns - f->due_ns, now_ns);
        else
            drop(sw, f->pair / sw->ports, SW_PORT);
        frame_release(sw, f);
        now_ns = monotonic_ns();
    }
}

/* Returns false when the port is gone for good (its interface was deleted). */
static int drain_port(sw_switch *sw, int port_index, int fd)
{
    uint8_t buffer[FRAME_MAX + 1]; /* one more than allowed shows a frame that is too long */
    for (int i = 0; i < READ_BATCH; i++) {
        ssize_t len = read(fd, buffer, sizeof buffer);
        if (len > 0)
            sw_receive(sw, port_index, buffer, (size_t)len, monotonic_ns());
        else if (len == 0 || (errno != EAGAIN && errno != EINTR))
            return 0;
        else
            return 1;
    }
    return 1;
}

static int watch(int epoll_fd, int fd, uint32_t tag)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = tag};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static int loop(sw_switch *sw, const int *fds, int epoll_fd, int timer_fd)
{
    const uint32_t visitor = sw->ports, timer = visitor + 1;
    int64_t armed_ns = -1;
    uint64_t ticks;
    if (watch(epoll_fd, sw->wake_fd, visitor) || watch(epoll_fd, timer_fd, timer))
        return -errno;
    for (uint32_t i = 0; i < sw->ports; i++)
        if (fds[i] >= 0 && (fcntl(fds[i], F_SETFL, O_NONBLOCK) || watch(epoll_fd, fds[i], i)))
            return -errno;
    while (!sw->stopping) {
        struct epoll_event events[64];
        int64_t due_ns = sw_next_due(sw);
        int overdue = due_ns >= 0 && due_ns <= monotonic_ns();
        if (due_ns >= 0 && !overdue && due_ns != armed_ns) {
            struct itimerspec at = {.it_value = {due_ns / SECOND_NS, due_ns % SECOND_NS}};
            if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL))
                return -errno;
            armed_ns = due_ns;
        }
        int n = epoll_wait(epoll_fd, events, 64, overdue ? 0 : -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            uint32_t tag = events[i].data.u32;
            if (tag == visitor) {
                if (read(sw->wake_fd, &ticks, sizeof ticks) > 0)
                    receive_visitor(sw, 1);
            } else if (tag == timer) {
                if (read(timer_fd, &ticks, sizeof ticks) > 0)
                    armed_ns = -1;
            } else if (!drain_port(sw, (int)tag, fds[tag])) {
                epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fds[tag], NULL);
                sw->port[tag].stats.gone = 1;
            }
            deliver(sw, fds, monotonic_ns());
        }
        deliver(sw, fds, monotonic_ns());
    }
    return 0;
}

/* Carry frames between fds[0..ports-1] (-1: nothing is there) until sw_stop(); 0, or -errno. */
int sw_run(sw_switch *sw, const int *fds)
{
    receive_visitor(sw, 1);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int result = epoll_fd < 0 || timer_fd < 0 ? -errno : loop(sw, fds, epoll_fd, timer_fd);
    receive_visitor(sw, 0);
    if (epoll_fd >= 0)
        close(epoll_fd);
    if (timer_fd >= 0)
        close(timer_fd);
    return result;
}
