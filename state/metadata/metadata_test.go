package metadata

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample is a patch that keeps all rules.
func sample() *Patch {
	p := &Patch{
		Schema: SchemaVersion, UUID: "0b7a1f0e-7d0c-5b0e-9c53-6f1f0c1d4e2b", Name: "HP001", Version: "1", Release: "1", Arch: "x86_64",
		Type:   UserPatch,
		Target: Package{Name: "redis", Epoch: "1", Version: "6.2.5", Release: "1", Arch: "x86_64"},
		Entities: []Entity{{
			UUID: "1b7a1f0e-7d0c-5b0e-9c53-6f1f0c1d4e2b", Name: "redis-server", Path: "/usr/bin/redis-server",
			BuildID: "0123456789abcdef0123456789abcdef01234567", File: "redis-server.o", Digest: strings.Repeat("ab", 32), Functions: []string{"f"},
		}},
		License: "BSD", Patches: []SourcePatch{{Name: "0001-fix.patch", Digest: strings.Repeat("cd", 32)}},
	}
	p.Digest = p.ComputeDigest()
	return p
}

func TestEncodedPatchReadsBack(t *testing.T) {
	p := sample()
	data, err := p.Encode()
	require.NoError(t, err)
	back, err := Parse(data)
	require.NoError(t, err)
	require.Equal(t, p, back)
	require.Equal(t, "redis-6.2.5-1/HP001-1-1", back.FullName())
	require.Equal(t, "1:6.2.5-1", back.Target.EVR())
}

// Whatever could reach a path, a shell, a spec file or another patch's
// process is refused, with the rule that it breaks.
func TestBrokenMetadataIsRefused(t *testing.T) {
	for says, change := range map[string]func(*Patch){
		"schema 2":                   func(p *Patch) { p.Schema = 2 },
		"canonical":                  func(p *Patch) { p.UUID = strings.ToUpper(p.UUID) },
		`name "../x"`:                func(p *Patch) { p.Name = "../x" },
		`name "-e"`:                  func(p *Patch) { p.Name = "-e" },
		`target name "a b"`:          func(p *Patch) { p.Target.Name = "a b" },
		`version "1-2"`:              func(p *Patch) { p.Version = "1-2" },
		`target release ""`:          func(p *Patch) { p.Target.Release = "" },
		`target epoch "1\n%post"`:    func(p *Patch) { p.Target.Epoch = "1\n%post" },
		`architecture "x86_64; rm"`:  func(p *Patch) { p.Arch = "x86_64; rm" },
		`type "X" is unknown`:        func(p *Patch) { p.Type = "X" },
		"no entity":                  func(p *Patch) { p.Entities = nil },
		`file name "patch.json"`:     func(p *Patch) { p.Entities[0].File = "patch.json" },
		`file name "../other"`:       func(p *Patch) { p.Entities[0].File = "../other" },
		`entity name "a/b"`:          func(p *Patch) { p.Entities[0].Name = "a/b" },
		`build ID "ABCD"`:            func(p *Patch) { p.Entities[0].BuildID = "ABCD" },
		`digest "00" is not`:         func(p *Patch) { p.Entities[0].Digest = "00" },
		`patch file "a/b"`:           func(p *Patch) { p.Patches[0].Name = "a/b" },
		"the digest does not match":  func(p *Patch) { p.Digest = strings.Repeat("0", 64) },
		"is not allowed or used twi": func(p *Patch) { p.Entities = append(p.Entities, p.Entities[0]) },
	} {
		t.Run(says, func(t *testing.T) {
			p := sample()
			change(p)
			_, err := p.Encode()
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, says)
		})
	}
}

func TestBrokenTextIsRefused(t *testing.T) {
	good, err := sample().Encode()
	require.NoError(t, err)
	for name, text := range map[string]string{
		"empty":         "",
		"cut short":     string(good[:len(good)/2]),
		"two documents": string(good) + "{}",
		"unknown field": strings.Replace(string(good), `"schema"`, `"color": "red", "schema"`, 1),
		"wrong type":    strings.Replace(string(good), `"HP001"`, `7`, 1),
		"too large":     string(good) + strings.Repeat(" ", MaxSize),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(text))
			require.ErrorIs(t, err, ErrCorrupt)
		})
	}
}

func FuzzParse(f *testing.F) {
	good, err := sample().Encode()
	require.NoError(f, err)
	f.Add(good)
	f.Add([]byte(`{"schema":1,"entities":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Parse(data)
		if err != nil {
			return
		}
		again, err := p.Encode()
		require.NoError(t, err)
		back, err := Parse(again)
		require.NoError(t, err)
		require.Equal(t, p.ComputeDigest(), back.ComputeDigest())
	})
}
