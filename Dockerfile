# Mailgress as an image: web service, worker and commands, on a PostgreSQL of yours (compose.yaml brings one along).
#
#   docker build -t mailgress .
#   docker run --env-file mailgress.env -p 8080:8080 mailgress          serve, migrating first
#   docker run --env-file mailgress.env mailgress worker                any other command

FROM node:24-alpine AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Production alone: no compiler, and no embedded PostgreSQL. None of these packages has anything to build.
RUN npm ci --omit=dev --omit=optional --ignore-scripts
COPY bin ./bin
COPY src ./src
COPY drizzle ./drizzle
COPY apps-script ./apps-script
# Fills the compile cache: a quicker start, in less memory. Node keeps it apart by user, so it is the image's that does it.
RUN chmod 777 .
USER node
# Node writes it for its user alone, who is another one below.
RUN node bin/precompile.js && chmod -R a+rX .cache

FROM node:24-alpine
ENV NODE_ENV=production NODE_OPTIONS=--max-semi-space-size=4 HOST=0.0.0.0 PORT=8080
WORKDIR /app
COPY package.json LICENSE ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/.cache ./.cache
COPY bin ./bin
COPY src ./src
COPY drizzle ./drizzle
COPY apps-script ./apps-script
# The files are root's: what runs cannot change itself. It writes nothing but to the database.
USER node
EXPOSE 8080
# Alive, not ready: while the database is away, another start would not help. For `serve`; a worker listens nowhere.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/app/bin/mailgress.js"]
CMD ["serve", "--migrate"]
