# A static binary in an empty image: nothing in it but Fanfare, certificates to trust and a folder for data.
# Build: docker build -t fanfare .   Run: docker run -p 8080:8080 -v fanfare-data:/data fanfare

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates g++ make musl-tools \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN rustup target add "$(uname -m)-unknown-linux-musl"
COPY . .
# The caches keep crates and objects between builds; what is shipped is copied out of them. Not stripped: line tables make
# the stack in the log of a caught panic worth reading.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package fanfare-server --bin fanfare --target "$(uname -m)-unknown-linux-musl" \
    && mkdir --parents /image/usr/local/bin /image/etc/ssl/certs /image/data /image/tmp \
    && cp "target/$(uname -m)-unknown-linux-musl/release/fanfare" /image/usr/local/bin/fanfare \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chown 1001:1001 /image/data /image/tmp

FROM scratch
COPY --from=build /image/ /
USER 1001:1001
WORKDIR /data
# The folder that outlives the container. A fanfare.toml in it is read too, as it is the working folder.
ENV FANFARE__DATA_DIR=/data
VOLUME /data
EXPOSE 8080
# SIGTERM is a graceful shutdown of at most 30 s (server.shutdown_timeout): give it that, `docker stop --time 35`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/fanfare", "doctor", "--live"]
ENTRYPOINT ["/usr/local/bin/fanfare"]
CMD ["serve"]
