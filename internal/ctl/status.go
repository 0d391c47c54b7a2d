package ctl

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// StatusSource says how this host is.
type StatusSource interface {
	InventorySource
	// Status returns what the host's agent knows.
	Status() (agentapi.StatusReport, error)
	// StatusWithRates is Status with the networks' rates, which may take half a second.
	StatusWithRates() (agentapi.StatusReport, error)
	// ContainersWithAgent counts the containers that need the agent.
	ContainersWithAgent() (int, error)
	AgentConfigured
}

// What `status --check` may check.
const (
	checkLive  = "live"
	checkReady = "ready"
)

var checks = []string{checkLive, checkReady}

const statusHelp = `Status shows what this host's agent (vxland) knows. It begins with whether all is
well. Then come the networks with containers on this host, and the other hosts.

  HERE        containers on this host
  ELSEWHERE   containers on other hosts
  HOSTS       other hosts with containers: how many of them can be reached
  MTU         of the containers' interfaces
  ENCRYPTION  how packets to other hosts are encrypted; with ! something is wrong
  IN, OUT     bytes a second from other hosts and to them
  SENDS FROM  this host's address on the underlay, and the interface
  STATE       reachable    the agent there answers
              unreachable  it does not; its names are hidden, its addresses reserved
              no agent     it is listed and never answered, as without a container
  SINCE       for how long it has been so
  RTT         of the agents' messages
  LOSS        of frames through the tunnel, in the last ten minutes
  PATH MTU    the largest frame of a container that passes

For each thing that is wrong, lines that begin with # say what, by a code, and what
to do. A healthy host has none. "vxlanctl explain CODE" says more.

Without an agent it ends with 1. With --check it prints one line for a probe or a
monitoring system, and ends with 0 (ok), 1 (warning), 2 (failure) or 3 (unknown):

  live   0 if the agent answers, 2 if containers need one that does not run, and 3 if
         none needs it
  ready  2 also while it is not known yet what the other hosts have, and if something
         is wrong; 1 if there are only warnings

With --all this host's agent asks all others. Each host is as its own agent sees it.
Hosts ask each other by gossip. The servers of etcd do not carry that: an answer may
have a megabyte, which each of them would write to its disk. So of a host that is known
by etcd alone, --all shows only that it is there.

With --filter the tables that have the column show only rows that match, and so do the
findings, by code, level, host and network. How bad it is then is said of these.`

func statusCommand(host ClusterStatusSource, version string) *cobra.Command {
	var opts output.Options
	check, all := "", false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show networks, other hosts and what is wrong, as this host's agent sees them",
		Long:  statusHelp,
		Example: `  vxlanctl status
  vxlanctl status --check ready
  vxlanctl status --format '{{range .Networks}}{{.Name}} {{.MTU}}{{"\n"}}{{end}}'
  vxlanctl status --all --filter 'status!=ok'
  vxlanctl status --filter network=mynet -w`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check != "" && !slices.Contains(checks, check) {
				return usageError(fmt.Errorf("--check %q: must be live or ready", check))
			}
			if check != "" && len(opts.Filters) > 0 {
				return usageError(errors.New("status: --check is of the whole host; leave out --filter"))
			}
			if all {
				opts.FilterBy(output.Headings(hostStatusColumns))
			}
			return opts.Run(cmd, func(p *output.Printer) error {
				if all {
					return runStatusOfAll(p, host, check)
				}
				return runStatus(p, host, version, check)
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "ask the agents of all hosts, and show what each says")
	cmd.Flags().StringVar(&check, "check", "", "check whether the agent is `live` or ready, for probes")
	_ = cmd.RegisterFlagCompletionFunc("check", cobra.FixedCompletions(checks, cobra.ShellCompDirectiveNoFileComp))
	opts.AddListFlags(cmd, statusHeadings())
	return cmd
}

func runStatus(p *output.Printer, host StatusSource, version, check string) error {
	ask := host.StatusWithRates
	if check != "" {
		ask = host.Status
	}
	v, err := readStatus(host, ask, version)
	if err != nil && check == "" {
		return fmt.Errorf("status: %w", err)
	}
	if err != nil {
		unknown := diagnosis.Finding{Code: diagnosis.AgentMissing, Level: diagnosis.Unknown, Summary: err.Error()}
		v = statusView{Findings: []diagnosis.Finding{unknown}}
		v.judge()
	}
	if check != "" {
		return v.printCheck(p, check)
	}
	v.filter(p)
	if err := v.print(p); err != nil {
		return err
	}
	if !v.Running {
		return exitStatus(exitError)
	}
	return nil
}

// readStatus asks the agent. That there is none is no error.
func readStatus(host StatusSource, ask func() (agentapi.StatusReport, error), version string) (statusView, error) {
	r, err := ask()
	if errors.Is(err, agentapi.ErrNotRunning) {
		return statusWithoutAgent(host)
	}
	if err != nil {
		return statusView{}, err
	}
	if r.Version != version && len(r.Outdated) == 0 { // the programs of before do not say why
		r.Outdated = append(r.Outdated, fmt.Sprintf("it is version %s, and vxlanctl %s", r.Version, version))
	}
	return newStatusView(r), nil
}

// recordedNetworks are this host's networks, as far as its store tells.
func recordedNetworks(all agentapi.Inventory) (networks []agentapi.NetworkStatus) {
	for _, n := range all.Networks {
		networks = append(networks, agentapi.NetworkStatus{
			Name: n.Name, VNI: n.VNI, Local: len(n.Endpoints), VTEP: n.VTEP, Interface: n.Interface, MTU: n.MTU,
		})
	}
	return networks
}

// statusWithoutAgent says whether somebody misses the agent.
func statusWithoutAgent(host StatusSource) (statusView, error) {
	containers, err := host.ContainersWithAgent()
	if err != nil && containers == 0 {
		return statusView{}, fmt.Errorf("vxland does not run: %w", err)
	}
	v := statusView{}
	if all, _, err := host.Inventory(); err == nil { // else the store cannot be read, which was said
		v.Networks = recordedNetworks(all)
	}
	if containers == 0 && keepsAgent(host) {
		v.Findings = []diagnosis.Finding{missingAgent("vxland does not run, but its configuration says keep_running")}
		v.judge()
		return v, nil
	}
	if containers == 0 {
		v.judge()
		v.Level = diagnosis.Unknown
		v.Summary = "vxland does not run, and no container needs it; " +
			"it starts with the first container of a network with names or discovery=gossip"
		return v, nil
	}
	need := "need"
	if containers == 1 {
		need = "needs"
	}
	v.Findings = []diagnosis.Finding{missingAgent(
		fmt.Sprintf("vxland does not run, but %s %s it", output.Count(containers, "container"), need))}
	v.judge()
	return v, nil
}

// keepsAgent tells whether the agent is to run also without a container.
func keepsAgent(host AgentConfigured) bool {
	c, err := host.AgentConfig()
	return err == nil && c.KeepRunning
}

func missingAgent(summary string) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.AgentMissing, Level: diagnosis.Failure, Summary: summary,
		Mend: []string{"vxlanctl reload   # starts it"},
	}
}
