# An image that runs the server:
#   docker build -t taskbadger-server .
#   docker run -p 8000:8000 -e TASKBADGER_SECRET_KEY=… -v taskbadger:/data taskbadger-server
FROM python:3.13-slim

RUN useradd --create-home --home-dir /data taskbadger
COPY setup.cfg pyproject.toml requirements.lock README.md LICENSE wsgi.py taskbadger_server.py /src/
COPY taskbadger /src/taskbadger
RUN pip install --no-cache-dir --constraint /src/requirements.lock "/src[celery,oidc,apprise]" \
    && rm -r /src

USER taskbadger
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["taskbadger-server"]
CMD ["serve", "--bind", "0.0.0.0:8000"]
