// A program that loads a library and says what it says; the other threads are busy.
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static void *spin(void *p) { for (;;) __asm__ volatile("" : : : "memory"); return p; }

int main(int argc, char **argv) {
	pthread_t t;
	if (argc > 2) pthread_create(&t, 0, spin, 0);
	void *lib = dlopen(argv[1], RTLD_NOW);
	if (!lib) { puts(dlerror()); return 1; }
	int (*asked)(void) = (int (*)(void))dlsym(lib, "asked");
	printf("%d %d\n", asked() / 10, asked() % 10);
	return 0;
}
