// Command peer is both ends of the connections with which tests tell who reaches whom, and under which address.
//
//	peer serve NAME PROTOCOL/PORT[-PORT]…        answers each connection or datagram
//	peer ask [-t SECONDS] PROTOCOL/ADDRESS:PORT… asks all at once, and prints an answer a line
//
// PROTOCOL is tcp, udp, sctp or mcast (udp to a group that the server joins: mcast/GROUP:PORT). An answer says which
// server and port were reached, and the address that the server saw: "web:80 from 10.0.0.1". Without one the line says "none".
//
// ProtocolSCTP is spoken by hand over a raw socket, an INIT and its INIT ACK, since a kernel may forward ProtocolSCTP and have no sockets for it.
package main
