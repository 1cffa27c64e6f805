// What compilers do with these and csmith's programs lack. Every RANDOM(n) is
// a constant from 1 to n, and INITIAL(n) likewise one that is data in the
// program. A function goes from its opening line to a brace at the margin.

static unsigned feature_switch(unsigned x)
{
	switch (x % 9) {
	case 0: return RANDOM(1000);
	case 1: return x * RANDOM(1000);
	case 2: return x ^ RANDOM(1000);
	case 3: feature_state += RANDOM(1000); return x;
	case 4: return RANDOM(1000) - x;
	case 5: return x << RANDOM(7);
	case 6: return feature_state / RANDOM(1000);
	case 7: return ~x;
	}
	return x + RANDOM(1000);
}

static const char *feature_word(unsigned x)
{
	switch (x % 6) {
	case 0: return "none RANDOM(1000)";
	case 1: return "one RANDOM(1000)";
	case 2: return "two RANDOM(1000)";
	case 3: return "a rather longer text, RANDOM(1000)";
	case 4: return "five";
	}
	return "many";
}

const char *feature_table(unsigned x)
{
	static const char *const names[] = {"INITIAL(9)", "alpha", "beta", "gamma", "delta"};
	static const unsigned short places[8] = {4, 0, 1, INITIAL(4), 3, 2, 0, 1};
	return names[places[(x + RANDOM(100)) % 8]];
}

unsigned feature_static(unsigned x)
{
	static unsigned calls, sum = INITIAL(1000);
	calls += RANDOM(9);
	sum = sum * RANDOM(1000) + x;
	return calls ^ sum;
}

static unsigned feature_local(unsigned x)
{
	static unsigned calls = 3;
	static unsigned char seen[16];
	seen[x % 16] += RANDOM(9);
	return calls++ * RANDOM(1000) + seen[(x + 1) % 16];
}

static unsigned feature_threads(unsigned x)
{
	feature_thread = feature_thread * RANDOM(1000) + x;
	return feature_thread;
}

__attribute__((noinline)) double feature_real(double x)
{
	double sum = RANDOM(1000) / 8.0;
	int i;
	for (i = 0; i < RANDOM(20); i++)
		sum = sum * 0.75 + x * RANDOM(1000) - i;
	return sum > RANDOM(1000) * 1.5 ? sum : -sum;
}

static unsigned feature_labels(unsigned x)
{
	static void *const labels[] = {&&add, &&multiply, &&twist, &&leave};
	unsigned i = 0, sum = x;
next:
	if (i > 20)
		goto leave;
	goto *labels[(x >> i) & 3];
add:
	sum += RANDOM(1000);
	i++;
	goto next;
multiply:
	sum *= RANDOM(1000);
	i += 2;
	goto next;
twist:
	sum ^= sum >> RANDOM(9);
	i++;
	goto next;
leave:
	return sum;
}

__attribute__((cold, noinline)) static void feature_rare(unsigned x)
{
	printf("rare %u\n", x + RANDOM(1000));
	feature_state ^= x;
}

__attribute__((noinline)) unsigned feature_cold(unsigned x)
{
	if (__builtin_expect(x > 4000000000u, 0)) {
		fprintf(stderr, "never %u\n", x);
		abort();
	}
	if (__builtin_expect(x % 7 == RANDOM(6), 0)) {
		feature_rare(x);
		return RANDOM(1000);
	}
	return x + RANDOM(1000);
}

static unsigned feature_plus(unsigned x)
{
	return x + RANDOM(1000);
}

static unsigned feature_times(unsigned x)
{
	return x * RANDOM(1000) + feature_state % 3;
}

unsigned (*const feature_choices[])(unsigned) = {feature_plus, feature_times, feature_static};

static unsigned (*feature_choose(unsigned x))(unsigned)
{
	if (x % 5 < RANDOM(4))
		return feature_plus;
	return feature_choices[x % 3];
}

static unsigned feature_pointers(unsigned x)
{
	unsigned (*volatile chosen)(unsigned) = feature_choose(x);
	unsigned same = chosen == feature_plus ? RANDOM(1000) : chosen == feature_choices[1] ? 7 : 8;
	return chosen(x) + same;
}

unsigned feature_recursive(unsigned x)
{
	return x < 2 ? RANDOM(1000) : feature_recursive(x - 1) + feature_recursive(x - 2) % RANDOM(1000);
}

static int feature_order(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a ^ RANDOM(7), y = *(const unsigned *)b ^ 1;
	return x % RANDOM(50) < y % 16 ? -1 : x % 16 > y % 16;
}

static unsigned feature_library(unsigned x)
{
	unsigned numbers[12], i;
	char text[64], copy[64];
	for (i = 0; i < 12; i++)
		numbers[i] = x * (i + RANDOM(9)) % 101;
	snprintf(text, sizeof text, "%u-%s-RANDOM(9)", numbers[3], feature_word(x));
	memset(copy, RANDOM(100), sizeof copy);
	memcpy(copy, text, strlen(text) + 1);
	fputs(copy, stdout);
	putchar('\n');
	return strlen(copy) + (strchr(copy, '-') - copy);
}

static unsigned feature_sorted(unsigned x)
{
	unsigned numbers[4] = {x, x / 3, RANDOM(1000), x * 5}, other[2] = {3, x};
	if (feature_order(numbers, other) < 0)
		numbers[1]++;
	qsort(other, 2, sizeof *other, feature_order);
	return numbers[1] + other[0];
}

static unsigned feature_sum(unsigned count, ...)
{
	va_list list;
	unsigned sum = RANDOM(1000);
	va_start(list, count);
	while (count--)
		sum = sum * 3 + va_arg(list, unsigned);
	va_end(list);
	return sum;
}

static jmp_buf feature_back;

__attribute__((noinline)) static void feature_leap(unsigned x)
{
	if (x % 3 == RANDOM(3) - 1)
		longjmp(feature_back, RANDOM(1000));
	feature_state++;
}

__attribute__((noinline)) static unsigned feature_jump(unsigned x)
{
	volatile unsigned kept = x;
	int code = setjmp(feature_back);
	if (code)
		return code + kept;
	kept += RANDOM(1000);
	feature_leap(x);
	return kept;
}

unsigned feature_vector(unsigned x)
{
	unsigned lanes[32], i, sum = 0;
	for (i = 0; i < 32; i++)
		lanes[i] = x * i + RANDOM(1000);
	for (i = 0; i < 32; i++)
		sum += lanes[i] ^ RANDOM(1000);
	return sum;
}

struct feature_pair { long first; double second; char name[20]; };

static struct feature_pair feature_struct(unsigned x)
{
	struct feature_pair pair = {x, RANDOM(1000), "name RANDOM(1000)"};
	if (x & RANDOM(3))
		pair.first = -pair.first;
	return pair;
}

__attribute__((weak)) unsigned feature_weak(unsigned x)
{
	return x / RANDOM(9) + 4;
}

unsigned feature_named(unsigned x)
{
	return x % 1000 + RANDOM(1000);
}
unsigned feature_alias(unsigned x) __attribute__((alias("feature_named")));

static unsigned __int128 feature_wide(unsigned x)
{
	unsigned __int128 wide = x + RANDOM(1000);
	return wide * wide * wide * wide / RANDOM(1000);
}

__attribute__((noinline)) void feature_all(unsigned x)
{
	struct feature_pair pair = feature_struct(x);
	unsigned __int128 wide = feature_wide(x);
	printf("switch %u\n", feature_switch(x));
	printf("word %s, table %s\n", feature_word(x), feature_table(x));
	printf("static %u %u\n", feature_static(x), feature_local(x));
	printf("thread %u\n", feature_threads(x));
	printf("real %.6g\n", feature_real(x));
	printf("labels %u\n", feature_labels(x));
	printf("cold %u\n", feature_cold(x));
	printf("pointers %u\n", feature_pointers(x));
	printf("recursive %u\n", feature_recursive(x % 11));
	printf("library %u, sorted %u\n", feature_library(x), feature_sorted(x));
	printf("sum %u\n", feature_sum(3, x, RANDOM(1000), 5));
	printf("jump %u\n", feature_jump(x));
	printf("vector %u\n", feature_vector(x));
	printf("struct %ld %g %s\n", pair.first, pair.second, pair.name);
	printf("weak %u, alias %u, named %u\n", feature_weak(x), feature_alias(x), feature_named(x));
	printf("wide %llx\n", (unsigned long long)wide);
}

int compute(void)
{
	unsigned i;
	for (i = 0; i < 5; i++)
		feature_all(i * 1237 + i);
	csmith_main();
	printf("state %u\n", feature_state);
	return 0;
}
