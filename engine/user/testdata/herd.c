// Many small processes of one program. Each is killed with the first.
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

volatile long errors, rounds, last, ready;

__attribute__((noipa)) int compute(int x) { return x * 2 + 1; }

int main(int argc, char **argv) {
	for (int i = atoi(argv[1]); i > 1; i--)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			break;
		}
	ready = 1;
	for (;;) {
		last = compute(0);
		usleep(1000000);
	}
}
