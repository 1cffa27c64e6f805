// One program for each KIND of behaviour that has broken live patchers. All call
// compute, whose result is the old or the new one, and count what is wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

volatile long errors, rounds, last, ready;

#ifdef PAGE // the jump lies across the border of two pages
int compute(int x);
__asm__(".text\n.p2align 12\n.skip 4094\n.globl compute\n.type compute, @function\n"
	"compute: lea 1(%rdi,%rdi), %eax\n nopw 0(%rax,%rax)\n ret\n.size compute, .-compute\n.p2align 4");
#else
__attribute__((noipa)) int compute(int x) { return x * 2 + 1; }
#endif

static void check(int x)
{
	int r = compute(x);
	if (r != x * 2 + 1 && r != x * 2 + 1000) __atomic_add_fetch(&errors, 1, 5);
	last = r - x * 2;
	__atomic_add_fetch(&rounds, 1, 5);
}

#if defined PLAIN || defined PAGE
static void work(void) { for (int i = 0;; i++) check(i); }
#endif

#ifdef REDZONE // a leaf function keeps values below its stack pointer
static void work(void)
{
	for (int i = 0;; i++) {
		long a = i, b = ~(long)i, c, d;
		__asm__ volatile("mov %2, -8(%%rsp)\n mov %3, -120(%%rsp)\n mov $200, %%ecx\n1: pause\n dec %%ecx\n jnz 1b\n mov -8(%%rsp), %0\n mov -120(%%rsp), %1"
				 : "=&r"(c), "=&r"(d) : "r"(a), "r"(b) : "ecx", "memory");
		if (c != a || d != b) __atomic_add_fetch(&errors, 1, 5);
		check(i);
	}
}
#endif

#ifdef CANCEL // threads are cancelled while they are in compute, or sleep
static void *victim(void *arg) { for (int i = 0;; i++) { check(i); usleep(100); } return arg; }
static void work(void)
{
	for (;;) {
		pthread_t t[4];
		for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, victim, 0);
		usleep(2000);
		for (int i = 0; i < 4; i++) { pthread_cancel(t[i]); pthread_join(t[i], 0); }
	}
}
#endif

#ifdef SIGNALS // handlers on their own stack call compute, too
static void handler(int s) { check(s); }
static void work(void)
{
	static char stack[64 << 10];
	stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
	struct sigaction a = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESTART};
	struct itimerval often = {{0, 500}, {0, 500}};
	sigaltstack(&alternate, 0);
	sigaction(SIGALRM, &a, 0);
	setitimer(ITIMER_REAL, &often, 0);
	for (int i = 0;; i++) check(i);
}
#endif

#ifdef CHURN // threads come and go all the time
static void *brief(void *arg) { check((int)(long)arg); return 0; }
static void *maker(void *arg)
{
	for (long i = 0;; i++) {
		pthread_t t;
		if (pthread_create(&t, 0, brief, (void *)i) == 0) pthread_join(t, 0);
	}
	return arg;
}
static void work(void) { pthread_t t; for (int i = 0; i < 3; i++) pthread_create(&t, 0, maker, 0); maker(0); }
#endif

#ifdef FORKS // processes come and go all the time, by every way of making them
static void work(void)
{
	for (int i = 0;; i++) {
		pid_t child;
		int status = 0;
		switch (i % 3) {
		case 0: if ((child = fork()) == 0) { int r = compute(i); _exit(r != i * 2 + 1 && r != i * 2 + 1000); } break;
		case 1: if ((child = vfork()) == 0) { int r = compute(i); _exit(r != i * 2 + 1 && r != i * 2 + 1000); } break;
		default: if ((child = vfork()) == 0) { execl("/bin/true", "true", (char *)0); _exit(9); } break;
		}
		waitpid(child, &status, 0);
		if (status) __atomic_add_fetch(&errors, 1, 5);
		check(i);
	}
}
#endif

#ifdef MDWE // no memory may become executable that was not mapped so
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
static void work(void) { prctl(PR_SET_MDWE, 1, 0, 0, 0); for (int i = 0;; i++) { check(i); usleep(100); } }
#endif

#ifdef SECCOMP // whoever maps memory is killed
static void work(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof rules / sizeof *rules, rules};
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) errors++;
	for (int i = 0;; i++) { check(i); usleep(100); }
}
#endif

#ifdef NAMESPACES // it has users, processes and mounts of its own
static void work(void)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) errors++;
	for (int i = 0;; i++) { check(i); usleep(100); }
}
#endif

#ifdef COROUTINES // functions in progress lie on stacks that no thread runs on
static ucontext_t here, there;
static char stack[64 << 10];
static void other(void) { for (;;) { check(1); swapcontext(&there, &here); } }
static void work(void)
{
	getcontext(&there);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof stack;
	makecontext(&there, other, 0);
	for (;;) { swapcontext(&here, &there); usleep(100); }
}
#endif

#ifdef STUCK // a thread that nothing can stop: its child has not called exec
static void work(void) { if (vfork() == 0) { sleep(8); _exit(0); } for (int i = 0;; i++) { check(i); usleep(100); } }
#endif

int main(void)
{
	ready = 1;
	work();
}
