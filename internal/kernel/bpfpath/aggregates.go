package bpfpath

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// newSpec returns the programs, which take aggregates or leave them to the VXLAN device.
func newSpec(takesAggregates bool) (*ebpf.CollectionSpec, error) {
	spec, err := loadPrograms()
	if err != nil {
		return nil, err
	}
	var constants programsVariableSpecs
	if err := spec.Assign(&constants); err != nil {
		return nil, err
	}
	if err := constants.TakesAggregates.Set(takesAggregates); err != nil {
		return nil, fmt.Errorf("set whether programs take aggregates: %w", err)
	}
	return spec, nil
}

// decapUDP is BPF_F_ADJ_ROOM_DECAP_L4_UDP of programs/kernel.h.
const decapUDP = 1 << 10

// canTakeAggregates tells whether a program can take an aggregate apart. It lets one take the headers off a
// packet, with the flag for it: the kernel refuses a flag that it does not know, whatever the packet is. A
// kernel that cannot be asked has aggregates left to the VXLAN device.
func canTakeAggregates() bool {
	const outerHeaders = 20 + 8
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R2, -outerHeaders), asm.Mov.Imm(asm.R3, 1 /* BPF_ADJ_ROOM_MAC */),
			asm.Mov.Imm(asm.R4, decapUDP), asm.FnSkbAdjustRoom.Call(), asm.Return(),
		},
	})
	if err != nil {
		return false
	}
	defer program.Close()
	packet := make([]byte, 14+outerHeaders+100)
	packet[12] = 0x08 // IPv4
	refused, err := program.Run(&ebpf.RunOptions{Data: packet})
	return err == nil && refused == 0
}
