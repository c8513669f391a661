"""The pages that there are: one router a group."""

from service.web.pages import conversations, routes

ROUTERS = (routes.router, conversations.router)
