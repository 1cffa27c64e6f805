/* A program that says in its first line whether it runs fixed code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile int zero;

__attribute__((noipa)) int greets(int how)
{
	if (how == 's')
		pause();
#ifdef PATCHED
	if (how == 'c')
		return *(volatile int *)8 + zero;
	if (how == 'x')
		abort();
	if (how == 'm')
		memmove((char *)8 + zero, stdin, 8 + zero);
	return 2 + PATCHED * zero;
#else
	if (how == 'X')
		abort();
	if (how == 'M')
		memmove((char *)8 + zero, stdin, 8 + zero);
	return 1 + zero;
#endif
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("%s\n", greets(0) == 2 ? "fixed" : "flawed");
	if (argc > 1 && argv[1][0] == 'w') /* waits */
		pause();
	if (argc > 1 && argv[1][0] == 's') /* stays in the function */
		greets('s');
	if (argc > 1 && argv[1][0] == 'c') {
		char line[100];
		while (fgets(line, sizeof line, stdin))
			printf("%s\n", greets(line[0]) == 2 ? "fixed" : "flawed");
	}
	return 0;
}
