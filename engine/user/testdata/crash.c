// A program that dies, or nearly.
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static sigjmp_buf back;

static void handler(int signal) { siglongjmp(back, signal); }

__attribute__((noipa)) static int fault(void) { return *(volatile int *)8; }

int main(int argc, char **argv) {
	const char *how = argc > 1 ? argv[1] : "";
	if (!strcmp(how, "segv")) return fault();
	if (!strcmp(how, "ill")) __builtin_trap();
	if (!strcmp(how, "abrt")) abort();
	if (!strcmp(how, "sent")) kill(getpid(), SIGABRT);
	if (!strcmp(how, "handled")) {
		signal(SIGSEGV, handler);
		if (!sigsetjmp(back, 1)) return fault();
	}
	return 0;
}
