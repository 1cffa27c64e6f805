/* A program that says in its first line whether it runs fixed code. */
#include <stdio.h>
#include <unistd.h>

volatile int zero;

__attribute__((noipa)) int greets(int crash)
{
#ifdef PATCHED
	if (crash)
		return *(volatile int *)8 + zero;
	return 2 + zero;
#else
	return 1 + zero + 0 * crash;
#endif
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("%s\n", greets(0) == 2 ? "fixed" : "flawed");
	if (argc > 1 && argv[1][0] == 'c') {
		char line[100];
		while (fgets(line, sizeof line, stdin))
			printf("%s\n", greets(line[0] == 'c') == 2 ? "fixed" : "flawed");
	}
	return 0;
}
