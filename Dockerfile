# One image for the operator, the media pod, the gateway and the recorder. It only
# copies static binaries that "make build" has made, so it builds without a network.
FROM scratch
COPY --chown=0:0 --chmod=0755 bin/manager bin/mediapod bin/gateway bin/recorder /
USER 65532:65532
ENTRYPOINT ["/manager"]
