/* A program with one function to replace. */
#include <unistd.h>

__attribute__((noinline)) long answer(long n)
{
#ifdef PATCHED
	return n * 3 + 1;
#else
	return n * 2 + 1;
#endif
}

volatile long question = 20, last;

int main(void)
{
	for (;;) {
		last = answer(question);
		usleep(1000);
	}
}
