package packettrace

import "vxlan-driver/internal/agentapi"

// Report is the event as hosts tell it each other.
func (e Event) Report() agentapi.TraceEvent {
	event := agentapi.TraceEvent{Packet: e.ID, Chain: e.Place(), Rule: e.Rule, Comment: e.Comment, Verdict: e.Verdict}
	if e.Packet != nil {
		event.Head = e.Packet.String()
	}
	return event
}
