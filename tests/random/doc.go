// Package random makes random C programs, patches them while they run, and
// compares what they print with what the rebuilt programs print.
//
// A program is one by csmith together with testdata/features.c, which has what
// csmith's programs lack. A few random mutations of its functions are the fix.
// Compiler flags are random too. From one seed follows everything:
//
//	go test ./tests/random -run TestRandomPrograms -seed 7 -programs 1 -keep /tmp/seven
//
// It has tests only.
package random
