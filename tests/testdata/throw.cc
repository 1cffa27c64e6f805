// A server that throws and catches all the time, and answers questions about
// itself. With PATCHED it is the fixed one; with ELSEWHERE another function is.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <typeinfo>
#include <vector>
#include <unistd.h>

#ifdef PATCHED
enum { VERSION = 2 };
#else
enum { VERSION = 1 };
#endif

#define API __attribute__((noinline))

struct Failure : std::runtime_error {
	int code;
	Failure(int c) : std::runtime_error("failure"), code(c) {}
};

#ifdef PATCHED
// A class that the old program does not have.
struct Precise : Failure {
	std::string where;
	Precise(int c, const char *w) : Failure(c), where(w) {}
	const char *what() const noexcept override { return where.c_str(); }
};
#endif

static std::atomic<long> opened, closed, thrown, wrong;

// Its destructor runs when an exception passes.
struct Guard {
	API Guard() { opened++; }
	API ~Guard() { closed++; }
};

// Throws.
API int deepest(int n)
{
	Guard guard;
	thrown++;
#ifdef PATCHED
	if (n % 4 == 3)
		throw Precise(n + 1000000, "the new code");
	if (n % 4 == 0)
		throw n + 1000000;
	throw Failure(n + 1000000);
#else
	if (n % 4 == 0)
		throw n;
	throw Failure(n);
#endif
}

// Lets it pass, with something to clean up.
API int middle(int n)
{
	Guard guard;
	std::string text(VERSION * 20, 'x');
	int r = deepest(n);
	return r + (int)text.size();
}

// Catches some, throws them on and catches again.
API int rethrows(int n)
{
	try {
		return middle(n);
	} catch (Failure &f) {
		f.code += VERSION;
		throw;
	}
}

// Catches. Not changed by the fix.
API int outer(int n)
{
	try {
		return rethrows(n);
	} catch (const Failure &f) {
		return f.code;
	} catch (int code) {
		return code;
	}
}

static bool plausible(int n, int r)
{
	for (int version : {1, 2})
		for (int base : {0, 1000000})
			if (r == n + base || r == n + base + version)
				return true;
	return false;
}

static void work(int seed)
{
	for (int n = seed;; n = (n + 7) & 0xffff) {
		if (!plausible(n, outer(n)))
			wrong++;
		if (n % 16 == 0)
			usleep(10);
	}
}

// A class with constructors in two forms, virtual functions and a base.
struct Shape {
	virtual ~Shape() {}
	virtual int area() const = 0;
	virtual const char *name() const { return "shape"; }
};

struct Other { virtual ~Other() {} virtual int other() const { return 7; } };

struct Square : Shape, Other {
	int side;
	API Square(int s);
	int area() const override;
	int other() const override;
};

Square::Square(int s) : side(s * VERSION) {}
API int Square::area() const { return side * side * VERSION; }
API int Square::other() const { return side + VERSION; }

// A template, instantiated here with two types.
template <typename T> API T scaled(T value)
{
	volatile T result = value * VERSION; // long enough for a jump, also at -Os
	for (T i = 1; i < 3; i++)
		result = result + i;
	return result;
}

// An inline function with a static local that its copies share.
inline API int counted()
{
	static std::map<int, int> seen;
	seen[VERSION]++;
	int n = 0;
	for (auto &entry : seen)
		n += entry.second;
	return n;
}

// A static local with a constructor: new in the fixed program.
API size_t table()
{
#ifdef PATCHED
	static std::vector<std::string> words{"one", "two", "three"};
	words.push_back("more");
	return words.size();
#else
	return opened < 0 ? 1 : 0; // long enough for a jump, also at -Os
#endif
}

API std::string kind(Shape *shape)
{
	if (dynamic_cast<Square *>(shape) && typeid(*shape) == typeid(Square))
		return VERSION == 2 ? "new square" : "old square";
	return "unknown";
}

// Catches too. Only the other fix changes it.
API int elsewhere(int n)
{
	try {
		return middle(n);
	} catch (...) {
#ifdef ELSEWHERE
		return n + 500;
#else
		return n;
#endif
	}
}

API int summed(const std::vector<int> &list)
{
	int sum = 0;
	auto add = [&](int n) { sum += n * VERSION; };
	for (int n : list)
		add(n);
	return sum;
}

// Catches in patched code what unpatched code of the library throws.
API std::string parsed(const std::string &text)
{
	try {
		return std::to_string(std::stoi(text) + VERSION);
	} catch (const std::invalid_argument &) {
		return VERSION == 2 ? "not a number" : "?";
	}
}

API void answer(const char *line, Square &square)
{
	std::string q(line, strcspn(line, "\n"));
	if (q == "thrown") printf("%ld\n", thrown.load());
	else if (q == "wrong") printf("%ld\n", wrong.load());
	else if (q == "outer") printf("%d %d\n", outer(4), outer(7));
	else if (q == "area") printf("%d %d\n", square.area(), static_cast<Other &>(square).other());
	else if (q == "made") printf("%d\n", Square(3).side);
	else if (q == "scaled") printf("%d %.1f\n", scaled(10), scaled(1.5));
	else if (q == "counted") printf("%d\n", counted());
	else if (q == "table") printf("%zu\n", table());
	else if (q == "kind") printf("%s\n", kind(&square).c_str());
	else if (q == "summed") printf("%d\n", summed({1, 2, 3}));
	else if (q == "elsewhere") printf("%d\n", elsewhere(1));
	else if (q == "parsed") printf("%s %s\n", parsed("41").c_str(), parsed("x").c_str());
	else printf("? %s\n", q.c_str());
}

int main()
{
	std::vector<std::thread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back(work, i * 1000);
	Square square(3); // made by the old constructor
	setvbuf(stdout, nullptr, _IOLBF, 0);
	puts("ready");
	char line[64];
	while (fgets(line, sizeof line, stdin))
		answer(line, square);
	_exit(0);
}
