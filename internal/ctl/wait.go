package ctl

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
)

// Waiter waits for something on this host's agent.
type Waiter interface {
	// Wait returns once it is there, or what is missing when ctx is done.
	Wait(ctx context.Context, r agentapi.WaitRequest) (missing string, err error)
}

// WaitHost is a host that waits, and knows for what it may.
type WaitHost interface {
	Waiter
	StatusSource
	NetworkSource
}

const defaultWaitTimeout = time.Minute

// waitGoals are what can be waited for.
var waitGoals = []struct {
	goal                      agentapi.Goal
	use, short, long, example string
	names                     func(WaitHost) []string // that can be waited for
}{
	{agentapi.GoalReady, "ready", "wait until this host is set up and knows the others",
		`Ready waits until the agent has set up all networks of this host, and knows what the
other hosts have. A host without a network that needs the agent is never ready.`,
		"  vxlanctl wait ready --timeout 10s", func(WaitHost) []string { return nil }},
	{agentapi.GoalHost, "host HOST", "wait until a host answers",
		`Host waits until this host's agent reaches the agent of another host, which may be
called by its name, its address or its ID.`, "  vxlanctl wait host host-b",
		func(h WaitHost) []string { return knownHosts(h) }},
	{agentapi.GoalNetwork, "network NAME", "wait until a network is set up on this host",
		`Network waits until a container on this host uses the network, the network is set up,
and it is known which containers it has on other hosts.`, "  vxlanctl wait network mynet",
		func(h WaitHost) []string { return definedNames(h) }},
	{agentapi.GoalNames, "names NAME", "wait until a container's name resolves on this host",
		`Names waits until a network of this host has a container of this name or alias, here
or on another host.`, "  vxlanctl wait names web",
		func(h WaitHost) []string { return lookedUpNames(h) }},
}

const waitHelp = `Wait waits for something that the agent (vxland) of this host knows. It ends with 0
as soon as it is there. When the time is over it ends with 1, and says what is
missing. The agent need not run yet.`

func waitCommand(host WaitHost) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "wait until this host is ready, or something is there; for scripts",
		Long:  waitHelp,
		Example: `  vxlanctl wait ready
  vxlanctl wait host host-b --timeout 30s
  vxlanctl wait names web && podman run --network mynet alpine wget -qO- http://web`,
		Args: subcommandArg,
		RunE: printHelp,
	}
	cmd.PersistentFlags().DurationVar(&timeout, "timeout", defaultWaitTimeout, "how long to wait at most")
	for _, goal := range waitGoals {
		args := takes(1, 1)
		if goal.goal == agentapi.GoalReady {
			args = takes(0, 0)
		}
		cmd.AddCommand(&cobra.Command{
			Use: goal.use, Short: goal.short, Long: goal.long, Example: goal.example, Args: args,
			ValidArgsFunction: completing(1, func([]string) []string { return goal.names(host) }),
			RunE: func(cmd *cobra.Command, args []string) error {
				if timeout <= 0 {
					return usageError(fmt.Errorf("--timeout %v: must be more than 0", timeout))
				}
				return waitFor(cmd.Context(), host, agentapi.WaitRequest{For: goal.goal, Name: firstOr(args, "")}, timeout)
			},
		})
	}
	return cmd
}

func waitFor(ctx context.Context, host Waiter, r agentapi.WaitRequest, timeout time.Duration) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, unix.SIGTERM)
	defer stop()
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	missing, err := host.Wait(waiting, r)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("wait: interrupted; %s", missing)
	case missing != "":
		return fmt.Errorf("wait: %v are over, and %s", timeout, missing)
	}
	return nil
}
