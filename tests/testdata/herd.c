/* Many processes of one program. The first counts what the others compute. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef FIRST
#define FIRST 1
#endif
#ifndef SECOND
#define SECOND 10
#endif

__attribute__((noipa)) int first(void) { __asm__ volatile("" : : : "memory"); return FIRST; }
__attribute__((noipa)) int second(void) { __asm__ volatile("" : : : "memory"); return SECOND; }

int main(int argc, char **argv)
{
	int n = atoi(argv[1]);
	volatile int *says = mmap(NULL, n * sizeof *says, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < n; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			says[i] = first() + second();
			usleep(n * 250); /* as often as the machine bears */
		}
	}
	puts("ready");
	fflush(stdout);
	char line[100];
	while (fgets(line, sizeof line, stdin)) {
		int count[100] = {0};
		usleep(n * 250 + 500000);
		for (int i = 0; i < n; i++)
			count[says[i] % 100]++;
		for (int v = 0; v < 100; v++)
			if (count[v])
				printf("%d:%d ", v, count[v]);
		puts("");
		fflush(stdout);
	}
	return 0;
}
