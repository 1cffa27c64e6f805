package user

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-delve/delve/pkg/dwarf/frame"
	"github.com/go-delve/delve/pkg/dwarf/op"
	"golang.org/x/sys/unix"

	"github.com/openeuler/syscare/engine/object"
)

// DWARF numbers of registers, AMD64 supplement, figure 3.36.
const (
	dwRSP = 7
	dwRA  = 16
)

const (
	maxFrames    = 4096
	maxFrameInfo = 64 << 20
)

// sigreturnCode is how every C library's signal trampoline looks.
var sigreturnCode = []byte{0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}

// frameTable is the call frame information of one piece of code.
type frameTable struct {
	lo, hi  uint64
	entries frame.FrameDescriptionEntries
}

// unwinder walks stacks by call frame information. It is made while the
// process runs; what is mapped after that it does not know, and says so.
type unwinder struct {
	mem    memory
	tables []frameTable
	// rules by address: threads of one program wait in the same few places.
	rules       map[uint64]*frame.FrameContext
	trampolines map[uint64]bool
	// stack is what was read already of the stack being walked, from stackAt.
	stack   []byte
	stackAt uint64
}

func newUnwinder(p Process, mem memory, maps []mapping, all []image, h *header) *unwinder {
	u := &unwinder{mem: mem, rules: map[uint64]*frame.FrameContext{}, trampolines: map[uint64]bool{}}
	for _, img := range all {
		f, err := object.Open(img.path(p))
		if err != nil {
			continue
		}
		if s := f.Section(".eh_frame"); s != nil && s.Size < maxFrameInfo {
			if data, err := s.Bytes(); err == nil {
				u.add(img.lo, img.hi, data, img.bias+uint64(s.Address))
			}
		}
		f.Close()
	}
	for _, m := range maps {
		if string(m.name) != "[vdso]" {
			continue
		}
		data, err := mem.bytes(m.start, int(m.end-m.start))
		if err != nil {
			continue
		}
		if f, err := object.Read(bytes.NewReader(data)); err == nil {
			if s := f.Section(".eh_frame"); s != nil {
				if data, err := s.Bytes(); err == nil {
					u.add(m.start, m.end, data, m.start+uint64(s.Address))
				}
			}
		}
	}
	if h.frame.size > 0 && h.frame.size < maxFrameInfo {
		if data, err := mem.bytes(h.frame.at, int(h.frame.size)); err == nil {
			u.add(h.rx.at, h.rx.end(), data, h.frame.at)
		}
	}
	return u
}

// add parses one table. A damaged one is left out: unwinding then stops there.
func (u *unwinder) add(lo, hi uint64, data []byte, at uint64) {
	defer func() { _ = recover() }()
	entries, err := frame.Parse(data, binary.LittleEndian, 0, 8, at)
	if err == nil {
		u.tables = append(u.tables, frameTable{lo: lo, hi: hi, entries: frame.FrameDescriptionEntries{}.Append(entries)})
	}
}

// rulesAt returns the rules that hold at address pc.
func (u *unwinder) rulesAt(pc uint64) (*frame.FrameContext, error) {
	if known, ok := u.rules[pc]; ok {
		return known, nil
	}
	for _, t := range u.tables {
		if pc < t.lo || pc >= t.hi {
			continue
		}
		fde, err := t.entries.FDEForPC(pc)
		if err != nil {
			return nil, err
		}
		rules, err := fde.EstablishFrame(pc)
		if err == nil {
			u.rules[pc] = rules
		}
		return rules, err
	}
	return nil, fmt.Errorf("%#x: no call frame information", pc)
}

// registers in DWARF order; the last is the program counter.
type registers [17]uint64

func dwarfRegisters(r *unix.PtraceRegs) registers {
	return registers{r.Rax, r.Rdx, r.Rcx, r.Rbx, r.Rsi, r.Rdi, r.Rbp, r.Rsp,
		r.R8, r.R9, r.R10, r.R11, r.R12, r.R13, r.R14, r.R15, r.Rip}
}

// walk visits every frame from the innermost on. exact tells a program counter
// from a return address. It returns nil only when it reached the outermost
// frame, or visit had enough.
func (u *unwinder) walk(from *unix.PtraceRegs, visit func(pc uint64, exact bool) bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed call frame information: %v", r)
		}
	}()
	regs, exact := dwarfRegisters(from), true
	for range maxFrames {
		pc := regs[dwRA]
		if !visit(pc, exact) {
			return nil
		}
		if u.inTrampoline(pc) {
			if regs, err = u.interrupted(regs[dwRSP]); err != nil {
				return err
			}
			exact = true
			continue
		}
		at := pc
		if !exact {
			at-- // the call may end its function
		}
		rules, err := u.rulesAt(at)
		if err != nil {
			return err
		}
		next, last, err := u.step(rules, regs)
		if err != nil || last {
			return err
		}
		if next[dwRSP] <= regs[dwRSP] && !exact {
			return errors.New("stack does not grow towards its bottom")
		}
		regs, exact = next, false
	}
	return errors.New("stack has no end")
}

func (u *unwinder) inTrampoline(pc uint64) bool {
	known, ok := u.trampolines[pc]
	if !ok {
		code, err := u.mem.bytes(pc, len(sigreturnCode))
		known = err == nil && bytes.Equal(code, sigreturnCode)
		u.trampolines[pc] = known
	}
	return known
}

// word reads the stack, from memory only where it was not read before.
func (u *unwinder) word(at uint64) (uint64, error) {
	if n := uint64(len(u.stack)); at >= u.stackAt && n >= 8 && at-u.stackAt <= n-8 {
		return binary.LittleEndian.Uint64(u.stack[at-u.stackAt:]), nil
	}
	return u.mem.word(at)
}

// interrupted reads the registers that a signal frame holds.
func (u *unwinder) interrupted(sp uint64) (registers, error) {
	b, err := u.mem.bytes(sp, ucSize)
	if err != nil {
		return registers{}, err
	}
	var raw [18]uint64
	for i := range raw {
		raw[i] = binary.LittleEndian.Uint64(b[ucGregs+8*i:])
	}
	return dwarfRegisters(&unix.PtraceRegs{
		R8: raw[0], R9: raw[1], R10: raw[2], R11: raw[3], R12: raw[4], R13: raw[5], R14: raw[6], R15: raw[7],
		Rdi: raw[8], Rsi: raw[9], Rbp: raw[10], Rbx: raw[11], Rdx: raw[12], Rax: raw[13], Rcx: raw[14],
		Rsp: raw[15], Rip: raw[16],
	}), nil
}

// step computes the caller's registers. last says that there is no caller.
func (u *unwinder) step(ctx *frame.FrameContext, regs registers) (next registers, last bool, err error) {
	cfa, err := u.cfa(ctx.CFA, regs)
	if err != nil {
		return next, false, err
	}
	next = regs
	next[dwRSP] = cfa
	for reg, rule := range ctx.Regs {
		if reg > dwRA {
			continue
		}
		if next[reg], err = u.value(rule, regs, reg, cfa); err != nil {
			return next, false, err
		}
	}
	ra, ok := ctx.Regs[dwRA]
	if !ok || ra.Rule == frame.RuleUndefined || next[dwRA] == 0 {
		return next, true, nil
	}
	return next, false, nil
}

func (u *unwinder) cfa(rule frame.DWRule, regs registers) (uint64, error) {
	switch {
	case rule.Rule == frame.RuleCFA && rule.Reg < dwRA:
		return regs[rule.Reg] + uint64(rule.Offset), nil
	case rule.Rule == frame.RuleExpression:
		return u.expression(rule.Expression, regs, 0)
	}
	return 0, fmt.Errorf("frame address rule %d is not known", rule.Rule)
}

func (u *unwinder) value(rule frame.DWRule, regs registers, reg, cfa uint64) (uint64, error) {
	switch rule.Rule {
	case frame.RuleUndefined, frame.RuleSameVal:
		return regs[reg], nil // the parser says undefined for restored, too
	case frame.RuleOffset:
		return u.word(cfa + uint64(rule.Offset))
	case frame.RuleValOffset:
		return cfa + uint64(rule.Offset), nil
	case frame.RuleRegister:
		if rule.Reg > dwRA {
			break
		}
		return regs[rule.Reg], nil
	case frame.RuleExpression, frame.RuleValExpression:
		v, err := u.expression(rule.Expression, regs, cfa)
		if err != nil || rule.Rule == frame.RuleValExpression {
			return v, err
		}
		return u.word(v)
	}
	return 0, fmt.Errorf("register rule %d is not known", rule.Rule)
}

func (u *unwinder) expression(code []byte, regs registers, cfa uint64) (uint64, error) {
	var list []*op.DwarfRegister
	for _, v := range regs {
		list = append(list, op.DwarfRegisterFromUint64(v))
	}
	dr := op.NewDwarfRegisters(0, list, binary.LittleEndian, dwRA, dwRSP, 6, 0)
	dr.CFA = int64(cfa)
	if cfa != 0 { // register rules start with the frame address on the stack
		code = append(append([]byte{byte(op.DW_OP_consts)}, sleb(int64(cfa))...), code...)
	}
	v, _, err := op.ExecuteStackProgram(*dr, code, 8, func(b []byte, at uint64) (int, error) {
		if err := u.mem.read(b, at); err != nil {
			return 0, err
		}
		return len(b), nil
	})
	return uint64(v), err
}

func sleb(v int64) []byte {
	var b []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
