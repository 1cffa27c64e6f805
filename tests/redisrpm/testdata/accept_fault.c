/* Loaded into redis-server with LD_PRELOAD: every other accept fails as if the
 * peer had gone before it was accepted, the flaw of CVE-2025-48367. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned calls;

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	if (__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED) % 2 == 0) {
		errno = ECONNABORTED;
		return -1;
	}
	return syscall(SYS_accept4, fd, addr, len, flags);
}
