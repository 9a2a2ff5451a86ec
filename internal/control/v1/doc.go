// Package controlv1 is the control protocol between the operator and a media pod, generated from
// control.proto. It is all that the two share.
package controlv1
