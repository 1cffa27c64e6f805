module github.com/openeuler/syscare

go 1.26.8

require (
	github.com/google/uuid v1.6.0
	golang.org/x/arch v0.32.0
)
