// A program that says at once which code it runs: in a constructor, and in main.
#include <stdio.h>
#include <unistd.h>

volatile int number = 1;
static int early;

__attribute__((noinline)) int answer(void) { __asm__ volatile("" : : : "memory"); return number * 1; }
__attribute__((constructor)) static void before(void) { early = answer(); }

int main(int argc, char **argv) {
	if (argc > 1 && argv[1][0] == 'x') execv(argv[2], argv + 2);
	printf("%d %d\n", early, answer());
	return 0;
}
