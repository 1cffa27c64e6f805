// Asks the program for its result, each time in a fresh copy of the process:
// what runs here never changes its own data, so every answer starts from the
// initial state, and a child of a patched process runs patched code.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int compute(void);

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

int main(int argc, char **argv)
{
	char line[64];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin))
		if (strcmp(line, "run\n") == 0)
			run(argc > 1 ? strtoul(argv[1], NULL, 10) : 1);
	return 0;
}
