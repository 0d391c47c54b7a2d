// Package packet sends and receives hand-made packets in the network namespaces of a lab, and
// nowhere else.
package packet
