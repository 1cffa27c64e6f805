// Package debian fetches source packages of Debian 12 for tests, and keeps what
// is slow to make in a cache.
//
// It may import the standard library only.
//
// Invariants:
//   - an entry of the cache appears under its name only when it is whole;
//   - nothing outside the cache is changed: apt works with lists of its own.
package debian
