/* Descriptors that belong to another network namespace than the process that holds them.
 *
 * The calling thread is in that namespace only within these functions, which run no Python: no other code can
 * ever find itself in the wrong place.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Enter the namespace; returns the way back, or -errno. */
static int enter(const char *netns_path)
{
    int back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    int there = open(netns_path, O_RDONLY | O_CLOEXEC);
    int result = back;
    if (back < 0 || there < 0 || setns(there, CLONE_NEWNET)) {
        result = -errno;
        if (back >= 0)
            close(back);
    }
    if (there >= 0)
        close(there);
    return result;
}

static void leave(int back)
{
    if (setns(back, CLONE_NEWNET))
        abort(); /* the caller must never go on in the wrong namespace */
    close(back);
}

/* A TAP made inside the namespace; it lives as long as the descriptor.  -errno on failure. */
int lab_tap_in(const char *netns_path, const char *ifname)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int back = enter(netns_path);
    if (back < 0)
        return back;
    strncpy(request.ifr_name, ifname, IFNAMSIZ - 1);
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    int result = fd;
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request)) {
        result = -errno;
        if (fd >= 0)
            close(fd);
    }
    leave(back);
    return result;
}

/* A file as the namespace sees it: below /proc/sys/net each has its own.  -errno on failure. */
int lab_open_in(const char *netns_path, const char *path, int flags)
{
    int back = enter(netns_path);
    if (back < 0)
        return back;
    int fd = open(path, flags | O_CLOEXEC);
    int result = fd < 0 ? -errno : fd;
    leave(back);
    return result;
}

/* A socket made inside the namespace; it stays there for good.  -errno on failure. */
int lab_socket_in(const char *netns_path, int domain, int type, int protocol)
{
    int back = enter(netns_path);
    if (back < 0)
        return back;
    int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    int result = fd < 0 ? -errno : fd;
    leave(back);
    return result;
}
