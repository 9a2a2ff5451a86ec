// Package standbyv1 is the protocol between a media pod and those that follow its rooms on standby,
// generated from standby.proto.
package standbyv1
