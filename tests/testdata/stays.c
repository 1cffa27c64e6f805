/* A program that stays in one function until its input ends. */
#include <stdio.h>

volatile int zero;

__attribute__((noipa)) int stays(void)
{
	char line[100];
	int lines = 0;
	while (fgets(line, sizeof line, stdin))
		lines++;
#ifdef PATCHED
	return lines + 1 + zero;
#else
	return lines + zero;
#endif
}

int main(void)
{
	printf("%d\n", stays());
	return 0;
}
