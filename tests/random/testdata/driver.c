// "run" asks the program for its result in a fresh copy of the process, so that
// every answer starts from the same state; a child of a patched process runs
// patched code. "warm" changes the state of the process itself.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int compute(void);
void feature_all(unsigned x);

static void run(rlim_t seconds)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		struct rlimit limit = {seconds, seconds};
		setrlimit(RLIMIT_CPU, &limit);
		limit.rlim_cur = limit.rlim_max = 0;
		setrlimit(RLIMIT_CORE, &limit);
		compute();
		fflush(stdout);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		puts("end lost");
	else if (WIFSIGNALED(status))
		printf("end signal %d\n", WTERMSIG(status));
	else
		printf("end exit %d\n", WEXITSTATUS(status));
	fflush(stdout);
}

static void warm(void)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		feature_all(i * 77 + 5);
	puts("end warm");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		if (strcmp(line, "run\n") == 0)
			run(argc > 1 ? strtoul(argv[1], NULL, 10) : 1);
		else if (strcmp(line, "warm\n") == 0)
			warm();
	}
	return 0;
}
