package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/doctor/survey"
	"vxlan-driver/internal/firewalld"
	"vxlan-driver/internal/wiring"
)

// diagnose makes the checks of `vxlanctl doctor`, for somebody on another host.
func diagnose(ctx context.Context,
	examine func(context.Context) (agentapi.StatusReport, error)) (json.RawMessage, error) {
	s := survey.Surveyor{
		Host: wiring.Host(), Zones: new(firewalld.Zones), Examine: examine,
		Binary: func() string { path, _ := os.Executable(); return path },
	}
	found := doctor.Diagnose(s.Facts(ctx))
	found.Clock = time.Now().UnixNano()
	return json.Marshal(found)
}
