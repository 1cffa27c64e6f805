package rpmfile

import (
	"cmp"
	"strings"
)

// CompareVersions orders two versions or releases as rpmvercmp of RPM 4.15 and
// later does: digits by value, letters by byte, "~" before everything, "^"
// after the end but before any other continuation.
func CompareVersions(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" || b != "" {
		a = strings.TrimLeftFunc(a, isSeparator)
		b = strings.TrimLeftFunc(b, isSeparator)
		if ta, tb := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~"); ta || tb {
			if !ta || !tb {
				return either(tb)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if ca, cb := strings.HasPrefix(a, "^"), strings.HasPrefix(b, "^"); ca || cb {
			switch {
			case ca && cb:
				a, b = a[1:], b[1:]
				continue
			case a == "" || b == "":
				return either(b == "")
			default:
				return either(cb)
			}
		}
		if a == "" || b == "" {
			break
		}
		kind := isLetter
		if isDigit(rune(a[0])) {
			kind = isDigit
		}
		sa, sb := leading(a, kind), leading(b, kind)
		if sb == "" { // numbers are newer than letters
			return either(isDigit(rune(a[0])))
		}
		a, b = a[len(sa):], b[len(sb):]
		if c := compareSegments(sa, sb, isDigit(rune(sa[0]))); c != 0 {
			return c
		}
	}
	return cmp.Compare(min(len(a), 1), min(len(b), 1))
}

// CompareEVR orders [epoch:]version[-release] strings as RPM does: no epoch is
// epoch 0, and a missing release equals any.
func CompareEVR(a, b string) int {
	ea, va, ra := splitEVR(a)
	eb, vb, rb := splitEVR(b)
	if c := CompareVersions(ea, eb); c != 0 {
		return c
	}
	if c := CompareVersions(va, vb); c != 0 || ra == "" || rb == "" {
		return c
	}
	return CompareVersions(ra, rb)
}

func splitEVR(s string) (epoch, version, release string) {
	epoch, rest, ok := strings.Cut(s, ":")
	if !ok || strings.TrimLeftFunc(epoch, isDigit) != "" {
		epoch, rest = "0", s
	}
	if epoch == "" {
		epoch = "0"
	}
	if i := strings.LastIndexByte(rest, '-'); i >= 0 {
		return epoch, rest[:i], rest[i+1:]
	}
	return epoch, rest, ""
}

func either(newer bool) int {
	if newer {
		return 1
	}
	return -1
}

func compareSegments(a, b string, digits bool) int {
	if digits {
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		if c := cmp.Compare(len(a), len(b)); c != 0 {
			return c
		}
	}
	return strings.Compare(a, b)
}

func leading(s string, kind func(rune) bool) string {
	return s[:len(s)-len(strings.TrimLeftFunc(s, kind))]
}

func isDigit(r rune) bool  { return r >= '0' && r <= '9' }
func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
func isSeparator(r rune) bool {
	return !isDigit(r) && !isLetter(r) && r != '~' && r != '^'
}
